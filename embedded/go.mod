module github.com/konstellation-io/kre/embedded

go 1.26.0

replace golang.org/x/exp => golang.org/x/exp v0.0.0-20260908205506-85c1c2202aba
