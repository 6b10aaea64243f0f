module example.com/fanout

go 1.26

require (
	github.com/konstellation-io/kre/runner-sdk/go v0.0.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/konstellation-io/kre/runner-sdk/go => ./.kre/sdk/go
