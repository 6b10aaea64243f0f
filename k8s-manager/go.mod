module github.com/konstellation-io/kre/k8s-manager

go 1.26.0

require (
	github.com/konstellation-io/kre/embedded v0.0.0
	github.com/konstellation-io/kre/host v0.0.0
	github.com/konstellation-io/kre/kit v0.0.0
	github.com/konstellation-io/kre/krt v0.0.0
	github.com/konstellation-io/kre/proto v0.0.0
	github.com/nats-io/jwt/v2 v2.8.2
	github.com/nats-io/nats.go v1.55.0
	github.com/nats-io/nkeys v0.4.16
	github.com/stretchr/testify v1.12.1
	go.uber.org/zap v1.28.0
	golang.org/x/sync v0.24.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

replace (
	github.com/konstellation-io/kre/embedded => ../embedded
	github.com/konstellation-io/kre/host => ../host
	github.com/konstellation-io/kre/kit => ../kit
	github.com/konstellation-io/kre/krt => ../krt
	github.com/konstellation-io/kre/proto => ../proto
	golang.org/x/exp => golang.org/x/exp v0.0.0-20260908205506-85c1c2202aba
)
