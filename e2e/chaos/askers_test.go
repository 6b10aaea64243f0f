package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/e2e/harness"
)

const (
	perConnection = 8                      // askers that share one
	refusedPause  = 100 * time.Millisecond // before a refused asker asks again, unless he is told when
)

// outcome is what askers were told.
type outcome struct {
	sent             int
	answered         []string // their tokens
	refused, expired int
	foreign, failed  []string
	longest          time.Duration // that anybody waited
	longestAt        time.Time     // when that call began
}

// askers ask, each again when it was told something, until they are stopped. Each call carries a token of its own, which its
// answer has to carry back.
type askers struct {
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu    sync.Mutex
	began []time.Time // by asker, of the call that goes on; zero between two calls
	seen  outcome
}

func (f *fanOut) ask(t *testing.T, n int) *askers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	a := &askers{cancel: cancel, began: make([]time.Time, n)}
	t.Cleanup(func() { a.stop() })
	var conn *grpc.ClientConn
	for asker := range n {
		if asker%perConnection == 0 {
			var err error
			conn, err = grpc.NewClient(f.runtime.GetGrpcAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() }) // nobody waits for anything any more
		}
		mine := conn
		a.group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a.call(ctx, mine, asker, fmt.Sprintf("%d-%d", asker, i))
			}
		})
	}
	return a
}

// call makes a call to its end: stopping the load is no failure.
func (a *askers) call(ctx context.Context, conn *grpc.ClientConn, asker int, token string) {
	begun := a.begin(asker)
	limited, free := context.WithTimeout(context.WithoutCancel(ctx), harness.Patience)
	defer free()
	// A StringValue has the same bytes as a fanout.Text, and its code is generated.
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(limited, "/fanout.FanOut/Pass", wrapperspb.String(token), answer)
	if pause := a.end(asker, token, begun, answer.GetValue(), err); pause > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (a *askers) begin(asker int) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.began[asker] = now
	a.seen.sent++
	return now
}

// end counts what a call was told, and says how long to wait before the next one.
func (a *askers) end(asker int, token string, begun time.Time, answer string, err error) (pause time.Duration) {
	took := time.Since(begun)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began[asker] = time.Time{}
	if took > a.seen.longest {
		a.seen.longest, a.seen.longestAt = took, begun
	}
	switch {
	case err == nil && answer != token:
		a.seen.foreign = append(a.seen.foreign, fmt.Sprintf("%s got %q", token, answer))
	case err == nil:
		a.seen.answered = append(a.seen.answered, token)
	case refusal(err):
		a.seen.refused++
		return max(refusedPause, retryAfter(err))
	case status.Code(err) == codes.DeadlineExceeded && reason(err) == "WAIT_OVER":
		a.seen.expired++
	default:
		a.seen.failed = append(a.seen.failed, fmt.Sprintf("%s %s: after %s: %s: %v", begun.Format("15:04:05.000"), token, took, reason(err), err))
		return refusedPause
	}
	return 0
}

// refusal reports whether an error says that the request was not taken.
func refusal(err error) bool {
	switch reason(err) {
	case "TOO_MANY_REQUESTS", "OVERLOADED", "QUEUE_FULL":
		return status.Code(err) == codes.ResourceExhausted
	case "NOT_STORED", "STARTING":
		return status.Code(err) == codes.Unavailable
	}
	return false
}

// reason is the reason that an error of ours names; "" where it names none.
func reason(err error) string {
	if info := harness.Detail[*errdetails.ErrorInfo](err); info.GetDomain() == "kre" {
		return info.GetReason()
	}
	return ""
}

func retryAfter(err error) time.Duration {
	return harness.Detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration()
}

// waitWell waits until every call that began before a time has ended, and one that began after it was answered.
func (a *askers) waitWell(t *testing.T, since time.Time, what string) {
	t.Helper()
	answered := a.answers()
	harness.Eventually(t, "calls are answered after "+what, func() (bool, string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		waiting := 0
		for _, began := range a.began {
			if !began.IsZero() && began.Before(since) {
				waiting++
			}
		}
		return waiting == 0 && len(a.seen.answered) >= answered+len(a.began), fmt.Sprintf("%d wait", waiting)
	})
}

// answers is how many there were so far.
func (a *askers) answers() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen.answered)
}

// stop ends the load, and returns what was told when the last call has ended.
func (a *askers) stop() outcome {
	a.cancel()
	a.group.Wait()
	return a.seen
}
