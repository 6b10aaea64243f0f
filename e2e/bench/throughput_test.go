package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/e2e/harness"
)

const (
	warmUp = 2 * time.Second
	window = 6 * time.Second
)

// chain is a version of three nodes that runs, and is called.
type chain struct {
	run  *harness.Run
	call func(ctx context.Context, id string) error
}

func startChain(b *testing.B, project string) chain {
	b.Helper()
	return startChainBy(b, "", project)
}

// startChainBy starts it with another kre than the one that was built.
func startChainBy(b *testing.B, kre, project string) chain {
	b.Helper()
	p := harness.Copy(b, filepath.Join("testdata", project))
	run := harness.Ready(b, harness.Options{Kre: kre, Target: p.Dir, Args: []string{"--no-watch"}})
	// A StringValue has the same bytes as a chain.Text, and its code is generated: the client is not what is measured.
	request := wrapperspb.String(strings.Repeat("x", 98))
	client := run.GRPC(b)
	return chain{run, func(ctx context.Context, _ string) error {
		return client.Conn.Invoke(ctx, "/chain.Chain/Pass", request, new(wrapperspb.StringValue))
	}}
}

func (c *bareChain) caller() func(ctx context.Context, id string) error {
	body := []byte(strings.Repeat("x", 100))
	return func(ctx context.Context, id string) error { return c.call(ctx, id, body) }
}

// BenchmarkThroughput measures a closed loop through three Go nodes, 100-byte bodies, at-least-once, file storage, and the
// same hops on bare NATS in turns with it: what machine and broker allow at the same time.
func BenchmarkThroughput(b *testing.B) {
	for b.Loop() {
		ours, bare := startChain(b, "chain"), startBareChain(b, bareGo).caller()
		one, oneBare := loop(b, 1, ours.call), loop(b, 1, bare)
		record(b, "go_c1_per_s", one.rate, "")
		record(b, "go_c1_p50_ms", one.p50, "")
		record(b, "go_c1_of_bare_nats", one.rate/oneBare.rate, fmt.Sprintf("of %.0f", oneBare.rate))
		many, manyBare := loop(b, 32, ours.call), loop(b, 32, bare)
		record(b, "go_c32_per_s", many.rate, "at least 3000")
		record(b, "go_c32_p50_ms", many.p50, "")
		record(b, "go_c32_p99_ms", many.p99, "")
		record(b, "go_c32_of_bare_nats", many.rate/manyBare.rate, fmt.Sprintf("of %.0f", manyBare.rate))
		ours.run.Stop(b)
	}
}

// BenchmarkPython measures three Python nodes, each a runner and a worker, in turns with three Go nodes, and with the same
// hops in Python on its client of NATS: written as people do, and as fast as that client goes.
func BenchmarkPython(b *testing.B) {
	for b.Loop() {
		golang, python := startChain(b, "chain"), startChain(b, "chain-python")
		plain, pipelined := startBareChain(b, barePython("plain")).caller(), startBareChain(b, barePython("pipelined")).caller()
		var manyGo, manyPython, manyPlain, manyPipelined, oneGo, onePython results
		for range rounds {
			manyPython.add(loop(b, 32, python.call))
			manyGo.add(loop(b, 32, golang.call))
			manyPlain.add(loop(b, 32, plain))
			manyPipelined.add(loop(b, 32, pipelined))
			onePython.add(loop(b, 1, python.call))
			oneGo.add(loop(b, 1, golang.call))
		}
		record(b, "python_c32_per_s", manyPython.rate(), "")
		record(b, "python_c1_p50_ms", onePython.p50(), "")
		record(b, "python_of_go_c32", manyPython.rate()/manyGo.rate(), fmt.Sprintf("of %.0f; at least 0.6", manyGo.rate()))
		record(b, "python_of_bare_nats_py_c32", manyPython.rate()/manyPlain.rate(), fmt.Sprintf("of %.0f; at least 0.8", manyPlain.rate()))
		record(b, "python_of_pipelined_nats_py_c32", manyPython.rate()/manyPipelined.rate(), fmt.Sprintf("of %.0f", manyPipelined.rate()))
		record(b, "python_of_go_c1_p50", onePython.p50()/oneGo.p50(), fmt.Sprintf("of %.2f ms; at most 1.6", oneGo.p50()))
		python.run.Stop(b)
		golang.run.Stop(b)
	}
}

// BenchmarkTwoOutputs measures the chains with a first node that sends to a second channel, too, which a fourth node listens to,
// in turns with the chains without it. A call counts when the listener has acknowledged its message as well.
func BenchmarkTwoOutputs(b *testing.B) {
	for b.Loop() {
		for language, project := range map[string]string{"go": "", "python": "-python"} {
			one, two := startChain(b, "chain"+project), startChain(b, "fan"+project)
			first := two.stream(b, "node_fan"+project+"_chain_first")
			var ones, twos results
			for range rounds {
				ones.add(loop(b, 32, one.call))
				twos.add(loop(b, 32, two.call, func() {
					harness.Eventually(b, "the listener has acknowledged everything", func() (bool, string) {
						info, err := first.Info(b.Context())
						return err == nil && info.State.Msgs == 0, fmt.Sprint(err)
					})
				}))
			}
			record(b, "two_outputs_of_one_"+language, twos.rate()/ones.rate(), fmt.Sprintf("of %.0f; at least 0.4", ones.rate()))
			one.run.Stop(b)
			two.run.Stop(b)
		}
	}
}

// BenchmarkBefore measures three Go nodes in turns with the same by programs of an earlier commit.
func BenchmarkBefore(b *testing.B) {
	bin := os.Getenv("KRE_BENCH_BEFORE")
	if bin == "" {
		b.Skip("nothing to compare with: make bench BEFORE=<commit>")
	}
	for b.Loop() {
		now, before := startChain(b, "chain"), startChainBy(b, filepath.Join(bin, "kre"), "chain")
		var nows, befores results
		for range rounds {
			nows.add(loop(b, 32, now.call))
			befores.add(loop(b, 32, before.call))
		}
		record(b, "go_c32_of_before", nows.rate()/befores.rate(), fmt.Sprintf("of %.0f; at least 1", befores.rate()))
		now.run.Stop(b)
		before.run.Stop(b)
	}
}

// stream is one of the broker that a chain runs on.
func (c chain) stream(b *testing.B, name string) jetstream.Stream {
	b.Helper()
	conn, err := nats.Connect(c.run.Info.NATS)
	require.NoError(b, err)
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(b, err)
	stream, err := js.Stream(b.Context(), name)
	require.NoError(b, err)
	return stream
}

// rounds is how often what is compared takes turns, so that a machine whose speed varies is the same for all.
const rounds = 3

// results are those of several loops.
type results []result

func (r *results) add(one result) { *r = append(*r, one) }

func (r *results) rate() float64 { return r.median(func(one result) float64 { return one.rate }) }

func (r *results) p50() float64 { return r.median(func(one result) float64 { return one.p50 }) }

func (r *results) median(of func(result) float64) float64 {
	var all []float64
	for _, one := range *r {
		all = append(all, of(one))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// result is what a closed loop measured: answers per second, and milliseconds to an answer.
type result struct{ rate, p50, p99 float64 }

// loop has so many clients call, each again as soon as it is answered; each call has an id of its own. The rate counts until
// settled has returned.
func loop(b *testing.B, clients int, call func(ctx context.Context, id string) error, settled ...func()) result {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*harness.Patience)
	defer cancel()
	begin := time.Now().Add(warmUp)
	end := begin.Add(window)
	var (
		mu   sync.Mutex
		took []time.Duration
		wait sync.WaitGroup
	)
	for client := range clients {
		wait.Go(func() {
			var mine []time.Duration
			for started, n := time.Now(), 0; started.Before(end); started, n = time.Now(), n+1 {
				if err := call(ctx, fmt.Sprintf("%d-%d", client, n)); err != nil {
					b.Errorf("call: %v", err)
					break
				}
				if started.After(begin) {
					mine = append(mine, time.Since(started))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wait.Wait()
	for _, wait := range settled {
		wait()
	}
	spent := time.Since(begin)
	require.NotEmpty(b, took)
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	return result{rate: float64(len(took)) / spent.Seconds(), p50: at(0.5), p99: at(0.99)}
}
