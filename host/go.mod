module github.com/konstellation-io/kre/host

go 1.26.0

replace (
	github.com/konstellation-io/kre/kit => ../kit
	github.com/konstellation-io/kre/krt => ../krt
	github.com/konstellation-io/kre/proto => ../proto
)
