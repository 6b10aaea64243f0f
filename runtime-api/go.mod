module github.com/konstellation-io/kre/runtime-api

go 1.26

require (
	github.com/alecthomas/kong v1.17.0
	github.com/konstellation-io/kre/kit v0.0.0
	github.com/konstellation-io/kre/krt v0.0.0
	github.com/konstellation-io/kre/proto v0.0.0
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/zap v1.28.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/konstellation-io/kre/krt => ../krt

replace github.com/konstellation-io/kre/kit => ../kit

replace github.com/konstellation-io/kre/proto => ../proto
