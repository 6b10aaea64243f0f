// Package bench measures what the APIs of admin-api add to what the store costs, and what a page costs when there is much.
// It holds nothing but benchmarks, and no test: a figure that misses its mark fails nothing, machines differ. `make bench`
// runs it and adds the figures to those of the whole:
//
//	go test -run '^$' -bench . -benchtime 1x ./internal/bench -into figures.json
//
// The store and the server are processes of their own, as they are under `kre up`.
package bench
