module github.com/konstellation-io/kre/runner-sdk/runner

go 1.26.0

require (
	github.com/konstellation-io/kre/proto v0.0.0-00010101000000-000000000000
	github.com/konstellation-io/kre/runner-sdk/go v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/klauspost/compress v1.20.0 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
)

replace github.com/konstellation-io/kre/proto => ../../proto

replace github.com/konstellation-io/kre/runner-sdk/go => ../go
