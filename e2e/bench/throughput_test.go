package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/e2e/harness"
)

const (
	warmUp = 3 * time.Second
	window = 10 * time.Second
)

// BenchmarkThroughput measures a closed loop through three Go nodes, 100-byte bodies, at-least-once, file storage, and the
// same hops on bare NATS in turns with it: what machine and broker allow at the same time.
func BenchmarkThroughput(b *testing.B) {
	for b.Loop() {
		p := harness.Copy(b, filepath.Join("testdata", "chain"))
		run := harness.Ready(b, harness.Options{Target: p.Dir, Args: []string{"--no-watch"}})
		// A StringValue has the same bytes as a chain.Text, and its code is generated: the client is not what is measured.
		request := wrapperspb.String(strings.Repeat("x", 98))
		client := run.GRPC(b)
		call := func(ctx context.Context, _ string) error {
			return client.Conn.Invoke(ctx, "/chain.Chain/Pass", request, new(wrapperspb.StringValue))
		}
		chain, body := startBareChain(b), []byte(strings.Repeat("x", 100))
		bare := func(ctx context.Context, id string) error { return chain.call(ctx, id, body) }
		one, oneBare := loop(b, 1, call), loop(b, 1, bare)
		record(b, "go_c1_per_s", one.rate, "")
		record(b, "go_c1_p50_ms", one.p50, "")
		record(b, "go_c1_of_bare_nats", one.rate/oneBare.rate, fmt.Sprintf("of %.0f", oneBare.rate))
		many, manyBare := loop(b, 32, call), loop(b, 32, bare)
		record(b, "go_c32_per_s", many.rate, "at least 3000")
		record(b, "go_c32_p50_ms", many.p50, "")
		record(b, "go_c32_p99_ms", many.p99, "")
		record(b, "go_c32_of_bare_nats", many.rate/manyBare.rate, fmt.Sprintf("of %.0f", manyBare.rate))
		run.Stop(b)
	}
}

// result is what a closed loop measured: answers per second, and milliseconds to an answer.
type result struct{ rate, p50, p99 float64 }

// loop has so many clients call, each again as soon as it is answered; each call has an id of its own.
func loop(b *testing.B, clients int, call func(ctx context.Context, id string) error) result {
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
	require.NotEmpty(b, took)
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	return result{rate: float64(len(took)) / window.Seconds(), p50: at(0.5), p99: at(0.99)}
}
