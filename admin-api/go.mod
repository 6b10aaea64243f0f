module github.com/konstellation-io/kre/admin-api

go 1.26.0

replace (
	github.com/konstellation-io/kre/embedded => ../embedded
	github.com/konstellation-io/kre/kit => ../kit
	github.com/konstellation-io/kre/krt => ../krt
	github.com/konstellation-io/kre/proto => ../proto
	golang.org/x/exp => golang.org/x/exp v0.0.0-20260908205506-85c1c2202aba
)

require (
	github.com/alecthomas/kong v1.17.0
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.32.0
	github.com/konstellation-io/kre/kit v0.0.0
	github.com/konstellation-io/kre/krt v0.0.0
	github.com/konstellation-io/kre/proto v0.0.0
	github.com/stretchr/testify v1.12.1
	github.com/tink-crypto/tink-go/v2 v2.7.0
	go.mongodb.org/mongo-driver/v2 v2.9.3
	go.uber.org/zap v1.28.0
	google.golang.org/genproto/googleapis/api v0.0.0-20261019180522-ce908d29299b
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require github.com/konstellation-io/kre/embedded v0.0.0 // indirect
