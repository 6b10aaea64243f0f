# One door: people and CI call the same targets. `make help` lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES  := $(patsubst %/go.mod,%,$(wildcard */go.mod runner-sdk/*/go.mod runner-sdk/*/*/go.mod))
DEPLOYED := $(filter-out e2e,$(patsubst %/cmd,%,$(wildcard */cmd runner-sdk/*/cmd)))
TOOLS    := $(CURDIR)/.tools
PYTHON   ?= python3
VENV     := $(TOOLS)/venv

GOLANGCI_VERSION := v2.15.0
NATS_VERSION     := v2.15.2
GRPCURL_VERSION  := v1.9.4

COMPOSE_VERSION  := v2.40.3

GOLANGCI    := $(TOOLS)/bin/golangci-lint-$(GOLANGCI_VERSION)
NATS_SERVER := $(TOOLS)/bin/nats-server-$(NATS_VERSION)
GRPCURL     := $(TOOLS)/bin/grpcurl-$(GRPCURL_VERSION)

COMPOSE     := $(TOOLS)/bin/docker-compose-$(COMPOSE_VERSION)

export KRE_TEST_NATS_SERVER := $(NATS_SERVER)
export KRE_TEST_OPENAPI     := $(TOOLS)/openapi/bin/python
export KRE_TEST_GRPCURL     := $(GRPCURL)
export KRE_TEST_PYTHON      := $(VENV)/bin/python
export KRE_BENCH_PYTHON     := $(TOOLS)/bench/bin/python
export KRE_BIN              := $(CURDIR)/bin
export KRE_BENCH_BEFORE     := $(if $(BEFORE),$(CURDIR)/build/before-$(BEFORE))

.PHONY: help
help: ## list the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

## ---- build ----------------------------------------------------------------------------------------------------------

.PHONY: build
build: carried ## build every program into bin/
	@mkdir -p bin
	@for folder in $(DEPLOYED); do \
	  (cd $$folder && CGO_ENABLED=0 go build -o $(CURDIR)/bin/ ./cmd/...); \
	done

.PHONY: carried
carried: ## build what kre carries for projects: the Go SDK and the wheels of the Python SDK
	@$(PYTHON) host/carried/build.py

.PHONY: generate
generate: node_modules/.package-lock.json ## generate code from the protos
	@npx --no-install buf generate
	@npx --no-install buf generate --template buf.gen.python.yaml

.PHONY: proto-release
proto-release: node_modules/.package-lock.json ## take the protos as they are for what a later change may not break
	@npx --no-install buf build --exclude-source-info --path proto/kre -o proto/released.binpb

.PHONY: clean
clean: ## remove what was built (not the caches in .tools)
	@rm -rf bin build

## ---- run ------------------------------------------------------------------------------------------------------------

.PHONY: run
run: ## run the price estimator on this machine and call it; ONCE=1 ends it with an exit code
	@started=$$(date +%s); $(MAKE) --no-print-directory build; \
	  echo "build  kre and the engine's services $$(($$(date +%s) - started)) s"
	@cd e2e && go build -o ../bin/demo ./cmd/demo
	@exec bin/demo

.PHONY: examples
examples: build ## pack, run and call every example as its README says
	@examples/run.sh

.PHONY: bench
bench: build $(NATS_SERVER) $(TOOLS)/bench/ready $(if $(BEFORE),build/before-$(BEFORE)) ## measure, print and write build/bench.json; BEFORE=<commit> compares with its programs
	@mkdir -p build && cd e2e && go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench -out $(CURDIR)/build/bench.json
	@cd admin-api && go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./internal/bench -into $(CURDIR)/build/bench.json

# The programs of a commit, to compare with.
build/before-%:
	@mkdir -p build && git worktree add -q --force --detach build/tree-$* $*
	@$(MAKE) --no-print-directory -C build/tree-$* build && mv build/tree-$*/bin $@
	@git worktree remove --force build/tree-$*

.PHONY: chaos
chaos: build $(NATS_SERVER) ## kill services, nodes and broker and move traffic under load for DURATION (60s), and write build/chaos.json
	@mkdir -p build && cd e2e && go test -v -count=1 -timeout 60m ./chaos -duration $${DURATION:-60s} -out $(CURDIR)/build/chaos.json

.PHONY: images
images: build ## build our container images; PYTHON_IMAGE is what nodes run on
	@for target in kre admin-api k8s-manager; do \
	  docker build -q -f docker/Dockerfile --target $$target $(if $(PYTHON_IMAGE),--build-arg PYTHON=$(PYTHON_IMAGE)) -t kre/$$target .; \
	done

.PHONY: compose-test
compose-test: build $(NATS_SERVER) $(COMPOSE) ## run docker-compose.yml for real, with our images
	@$(MAKE) --no-print-directory -s -C examples/price-estimator train
	@mkdir -p build/compose && bin/kre pack examples/price-estimator -o build/compose/price-estimator.krt
	@NATS_SERVER=$(NATS_SERVER) COMPOSE=$(COMPOSE) PACKAGE=build/compose/price-estimator.krt docker/test.sh

## ---- check ----------------------------------------------------------------------------------------------------------

.PHONY: test
test: test-go test-python test-e2e ## run every test

.PHONY: test-go
test-go: build $(VENV)/ready $(NATS_SERVER) node_modules/.package-lock.json
	@failed=; for module in $(filter-out e2e,$(MODULES)); do \
	  echo "== $$module"; (cd $$module && go test -race ./...) || failed="$$failed $$module"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }
	@test -n "$${KRE_TEST_MONGO_URI:-}" || echo "mongostore: a real MongoDB was not tried: KRE_TEST_MONGO_URI is not set"

.PHONY: test-python
test-python: $(VENV)/ready
	@echo "== runner-sdk/python"; cd runner-sdk/python && $(VENV)/bin/python -m pytest -q

.PHONY: test-e2e
test-e2e: build $(GRPCURL) $(NATS_SERVER) $(TOOLS)/openapi/ready
	@echo "== e2e"; cd e2e && go test -race -timeout 30m $$(go list ./... | grep -v /chaos)

.PHONY: stress
stress: ## run every test twice beside busy loops and a loop of fsync
	@.ci/stress

.PHONY: fuzz
fuzz: ## fuzz manifests, protos, archives and envelopes with INPUTS each (20000)
	@.ci/fuzz $${INPUTS:-20000}

.PHONY: lint
lint: $(GOLANGCI) $(VENV)/ready node_modules/.package-lock.json ## run the linters
	@for module in $(MODULES); do (cd $$module && $(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...); done
	@npx --no-install buf lint
	@npx --no-install buf breaking --against proto/released.binpb
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@cd runner-sdk/python && $(VENV)/bin/mypy

.PHONY: verify
verify: generate ## check that generated code and go.mod files are fresh, and that each module builds alone
	@for module in $(MODULES); do (cd $$module && GOWORK=off go mod tidy -diff && GOWORK=off go build ./...); done
	@git diff --exit-code -- . ':(exclude)build' && test -z "$$(git status --porcelain -- proto runner-sdk/python/src/kre/worker_pb2.py*)" \
	  || { echo "generated code is not fresh: run make generate and commit the result"; exit 1; }

## ---- tools, pinned --------------------------------------------------------------------------------------------------

# $(call install,package@version,destination)
define install
	@mkdir -p $(TOOLS)/bin $(TOOLS)/tmp
	@GOBIN=$(TOOLS)/tmp GOWORK=off go install $(1) && mv $(TOOLS)/tmp/$(2) $@
endef

$(GOLANGCI):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION),golangci-lint)
$(NATS_SERVER):
	$(call install,github.com/nats-io/nats-server/v2@$(NATS_VERSION),nats-server)
$(GRPCURL):
	$(call install,github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION),grpcurl)

# Its replaces forbid `go install`; docker/compose has it as a tool.
$(COMPOSE): docker/compose/go.sum
	@mkdir -p $(TOOLS)/bin && cd docker/compose && GOWORK=off go build -o $@ github.com/docker/compose/v2/cmd

$(VENV)/ready: runner-sdk/python/requirements-dev.lock
	@$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install -q --require-hashes -r $<
	@touch $@

$(TOOLS)/openapi/ready: e2e/testdata/openapi/requirements.lock
	@$(PYTHON) -m venv $(TOOLS)/openapi && $(TOOLS)/openapi/bin/pip install -q --require-hashes -r $<
	@touch $@

$(TOOLS)/bench/ready: e2e/bench/testdata/bare-python/requirements.lock
	@$(PYTHON) -m venv $(TOOLS)/bench && $(TOOLS)/bench/bin/pip install -q --require-hashes -r $<
	@touch $@

# Not `npm ci`: it wants buf's packages of every platform in the lock, and a mirror may not have them all.
node_modules/.package-lock.json: package-lock.json
	@npm install --no-save --ignore-scripts --no-audit --no-fund --silent && touch $@
