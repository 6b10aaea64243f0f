module github.com/konstellation-io/kre/admin-api

go 1.26.0

replace (
	github.com/konstellation-io/kre/embedded => ../embedded
	github.com/konstellation-io/kre/kit => ../kit
	github.com/konstellation-io/kre/krt => ../krt
	github.com/konstellation-io/kre/proto => ../proto
	golang.org/x/exp => golang.org/x/exp v0.0.0-20260908205506-85c1c2202aba
)
