package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
)

// hasty leaves one workflow, whose callers wait for a second, with more lines in its manifest.
func hasty(t *testing.T, lines ...string) func(harness.Project) {
	return func(p harness.Project) {
		onlyChain(t)(p)
		p.Replace(t, "krt.yml", "    timeout: 2m\n", strings.Join(append([]string{"    timeout: 1s"}, lines...), "\n    ")+"\n")
	}
}

// told is what callers were told, counted.
type told struct {
	mu       sync.Mutex
	codes    map[codes.Code]int
	problems []string // of answers that are wrong, whatever the load
	infos    int      // refusals over gRPC that say when to try again
	headers  int      // refusals over HTTP that do
}

func newTold() *told { return &told{codes: make(map[codes.Code]int)} }

// grpc makes a call over gRPC and counts what it is told; http does so over HTTP.
func (c *told) grpc(ctx context.Context, client *harness.Client, id, body string) {
	answer, err := client.Call(ctx, "steps.Steps/Chain", body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if status.Code(err) == codes.ResourceExhausted && harness.Detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration() > 0 {
		c.infos++
	}
	c.count(id, answer, status.Code(err), status.Convert(err).Message())
}

func (c *told) http(ctx context.Context, v *version, id, body string) {
	answer, err := v.JSON(ctx, "steps.Steps/Chain", body)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.problems = append(c.problems, fmt.Sprintf("%s: %v", id, err))
	case answer.Status == http.StatusOK:
		c.count(id, answer.Body, codes.OK, "")
	default:
		code := answer.GRPCCode()
		if after, err := strconv.Atoi(answer.RetryAfter); err == nil && after > 0 && answer.Status == http.StatusTooManyRequests && code == codes.ResourceExhausted {
			c.headers++
		}
		c.count(id, "", code, answer.Message())
	}
}

// count needs the lock.
func (c *told) count(id, answer string, code codes.Code, message string) {
	c.codes[code]++
	switch code {
	case codes.ResourceExhausted, codes.DeadlineExceeded:
	default:
		if problem := judge(id, "", answer, code, message); problem != "" {
			c.problems = append(c.problems, problem)
		}
	}
}

// slow is a request that the second node takes so long for.
func slow(id string, takes time.Duration) string {
	return fmt.Sprintf(`{"id":%q,"slow":"second","slowMs":%d}`, id, takes.Milliseconds())
}

func TestOverloadIsRefusedNotSuffered(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			const (
				callers = 60
				takes   = 50 * time.Millisecond // of which at most 20 are done within the callers' second
				lasts   = 4 * time.Second
			)
			v := startSteps(t, language, hasty(t))
			client, ctx, seen := v.GRPC(t), patience(t), newTold()
			var group sync.WaitGroup
			until := time.Now().Add(lasts)
			for caller := range callers {
				group.Go(func() {
					for i := 0; time.Now().Before(until); i++ {
						id := fmt.Sprintf("over-%d-%d", caller, i)
						if caller%2 == 0 {
							seen.grpc(ctx, client, id, slow(id, takes))
						} else {
							seen.http(ctx, v, id, slow(id, takes))
						}
					}
				})
			}
			group.Wait()

			assert.Empty(t, seen.problems, "each is answered with its own answer, refused, or told that the wait is over")
			assert.NotZero(t, seen.codes[codes.OK], "what can be done is done: %v", seen.codes)
			assert.NotZero(t, seen.codes[codes.ResourceExhausted], "what cannot be done in time is refused: %v", seen.codes)
			assert.NotZero(t, seen.infos, "a refusal over gRPC says in a google.rpc.RetryInfo when to try again")
			assert.NotZero(t, seen.headers, "a refusal over HTTP is a 429 that says in Retry-After when to try again")
			harness.Eventually(t, "a fresh call is answered after the load", func() (bool, string) {
				answer, code, message := overGRPC(client)(ctx, "steps.Steps/Chain", slow("fresh", takes))
				return judge("fresh", "", answer, code, message) == "", message
			})
		})
	}
}

// late is how many calls are made at once, each of which takes so long that a few are answered within the callers' second.
const (
	late      = 12
	lateTakes = 300 * time.Millisecond
)

// callLate makes these calls and returns what became of them.
func callLate(t *testing.T, v *version) *told {
	t.Helper()
	client, ctx, seen := v.GRPC(t), patience(t), newTold()
	v.MustJSON(t, "steps.Steps/Chain", `{"id":"first of all"}`) // what follows finds all connections open
	var group sync.WaitGroup
	for i := range late {
		group.Go(func() {
			id := fmt.Sprintf("late-%d", i)
			seen.grpc(ctx, client, id, slow(id, lateTakes))
		})
	}
	group.Wait()
	require.Empty(t, seen.problems)
	return seen
}

func TestWorkInAFinishingWorkflowRunsToItsEnd(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			v := startSteps(t, language, hasty(t, "expired: finish"))
			seen := callLate(t, v)
			require.Zero(t, seen.codes[codes.ResourceExhausted], "nothing is refused: %v", seen.codes)
			require.Greater(t, seen.codes[codes.DeadlineExceeded], late/2, "most are too late: %v", seen.codes)
			for i := range late {
				v.waitRuns(t, fmt.Sprintf("late-%d", i), "first", "second", "third")
			}
			require.Empty(t, v.Broker(t).Messages(t, "dead_"))
		})
	}
}

func TestWorkWhoseCallerHasGoneIsDroppedAndCounted(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			v := startSteps(t, language, hasty(t, "expired: drop"))
			expired := v.countExpired(t)
			seen := callLate(t, v)
			v.Broker(t).WaitIdle(t)
			var slowRuns, ends int
			for i := range late {
				for _, node := range v.runs(t, fmt.Sprintf("late-%d", i)) {
					switch node {
					case "second":
						slowRuns++
					case "third":
						ends++
					}
				}
			}
			require.Less(t, slowRuns, late, "what nobody waits for any more is not run")
			// Each of them came to the end of the chain, was dropped on its way, or was refused.
			want := late - ends - seen.codes[codes.ResourceExhausted]
			require.NotZero(t, want)
			harness.Eventually(t, "what was dropped is counted", func() (bool, string) {
				return expired() == want, fmt.Sprintf("%d of %d", expired(), want)
			})
			require.Empty(t, v.Broker(t).Messages(t, "dead_"), "what is dropped is no dead letter")
		})
	}
}

// countExpired listens to what the nodes tell of themselves. What it returns says how many messages they have dropped by
// then, because their callers had gone: each process tells how many there were since its start.
func (v *version) countExpired(t *testing.T) func() int {
	t.Helper()
	conn, err := nats.Connect(v.Info.NATS)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	var mu sync.Mutex
	replicas := make(map[string]int)
	_, err = conn.Subscribe("kre.*._status.>", func(msg *nats.Msg) {
		var told struct {
			Replica string `json:"replica_id"`
			Expired int    `json:"expired"`
		}
		if json.Unmarshal(msg.Data, &told) != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		replicas[told.Replica] = max(replicas[told.Replica], told.Expired)
	})
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		sum := 0
		for _, expired := range replicas {
			sum += expired
		}
		return sum
	}
}
