module github.com/konstellation-io/kre/runner-sdk/entrypoint

go 1.26

require (
	connectrpc.com/connect v1.21.1
	github.com/alecthomas/kong v1.17.0
	github.com/bufbuild/protocompile v0.14.1
	github.com/konstellation-io/kre/kit v0.0.0
	github.com/konstellation-io/kre/runner-sdk/go v0.0.0
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	github.com/oklog/ulid/v2 v2.1.2
	github.com/stretchr/testify v1.12.1
	go.uber.org/zap v1.28.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/konstellation-io/kre/kit => ../../kit

replace github.com/konstellation-io/kre/runner-sdk/go => ../go
