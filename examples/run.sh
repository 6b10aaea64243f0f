#!/usr/bin/env bash
# Packs, runs and calls every example as its README says, with the programs in $KRE_BIN or bin/.
set -euo pipefail
cd "$(dirname "$0")/../e2e"
exec go run ./cmd/examples ../examples/*/README.md
