module github.com/konstellation-io/kre/host

go 1.26.0

require (
	github.com/konstellation-io/kre/kit v0.0.0
	github.com/konstellation-io/kre/proto v0.0.0
	github.com/stretchr/testify v1.12.1
	google.golang.org/protobuf v1.36.12
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
	google.golang.org/grpc v1.85.0 // indirect
)

replace (
	github.com/konstellation-io/kre/kit => ../kit
	github.com/konstellation-io/kre/krt => ../krt
	github.com/konstellation-io/kre/proto => ../proto
)
