package instance_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/telemetry"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// ended asks the entrypoint which of some requests have ended unanswered.
func (n *node) ended(replyTo string, ids ...string) []string {
	header, body := wire.Question(wire.AskEnded, ids)
	msg, err := n.conn.RequestMsg(&nats.Msg{Subject: replyTo, Header: header, Data: body}, patience)
	if err != nil {
		n.w.t.Errorf("asking: %v", err)
		return nil
	}
	known, err := wire.ReadIDs(msg.Data)
	if err != nil {
		n.w.t.Errorf("the answer: %v", err)
	}
	return known
}

func TestARequestThatCouldNotBeAnsweredInTimeIsRefused(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(o *instance.Options) {
		o.Config.Workflows[0].TimeoutMs = 1000
		o.Config.Status = "kre.echo-v1._status.entrypoint.entrypoint"
		o.Telemetry = telemetry.Telemetry{Metrics: registry}
	})
	var told loads
	_, err := w.nats.connect(t).Subscribe(w.options.Config.Status, told.note)
	require.NoError(t, err)
	var one sync.Mutex // at a time
	w.newNode("say", func(e entry) {
		one.Lock()
		defer one.Unlock()
		if len(e.node.ended(e.ReplyTo, e.RequestID)) == 0 {
			time.Sleep(50 * time.Millisecond)
			e.reply(wire.OK, "exit", textBody(e.text()))
		}
		e.ack()
	})
	watching, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.instance.Watch(watching) })
	t.Cleanup(func() { stop(); running.Wait() })
	refusals := make(chan error, 1)
	for range 60 {
		running.Go(func() {
			for watching.Err() == nil {
				if _, err := w.say(watching, "hello"); status.Code(err) == codes.ResourceExhausted {
					select {
					case refusals <- err:
					default:
					}
				}
			}
		})
	}
	refusal := <-refusals
	require.Equal(t, exchange.ReasonOverloaded, exchange.Reason(refusal))
	require.Positive(t, exchange.RetryAfter(refusal))
	require.Regexp(t, `^workflow say could not answer within \S+: \d+ requests wait, the oldest for \S+; try again in \S+$`, status.Convert(refusal).Message())
	eventually(t, "one is refused over HTTP", func() bool {
		answer := w.send("POST", "/echo.Echo/Say", `"hello"`, asJSON)
		if answer.code != http.StatusTooManyRequests {
			return false
		}
		seconds, err := strconv.Atoi(answer.header.Get("Retry-After"))
		return err == nil && seconds > 0
	})
	eventually(t, "it is counted", func() bool { return w.metric(registry, "kre_entrypoint_refused_total", "say") >= 2 })
	eventually(t, "it is told", func() bool { l := told.of("say"); return l.Refused >= 2 && l.Waiting > 0 && l.Oldest > 0 })
	stop()
	running.Wait()
	eventually(t, "a call is stored again", func() bool {
		_, err := w.say(within(t), "hello")
		return status.Code(err) != codes.Unavailable
	})
}

// loads are what an instance has told last of its workflows.
type loads struct {
	mu   sync.Mutex
	last map[string]loaded
}

type loaded struct {
	Workflow            string
	Waiting             int
	Oldest              float64 `json:"oldest_seconds"`
	Refused, Unanswered uint64
}

func (l *loads) note(msg *nats.Msg) {
	var message struct{ Workflows []loaded }
	if json.Unmarshal(msg.Data, &message) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = map[string]loaded{}
	for _, one := range message.Workflows {
		l.last[one.Workflow] = one
	}
}

func (l *loads) of(workflow string) loaded {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[workflow]
}

func TestAFinishingWorkflowRefusesNothingAndLetsNothingExpire(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) {
		o.Config.Workflows[0].TimeoutMs = 200
		o.Config.Workflows[0].Expired = manifest.ExpiredFinish
	})
	entries := make(chan entry, 1000)
	n := w.newNode("say", func(e entry) { entries <- e })
	var stored atomic.Int64
	for range 3 {
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				_, err := w.say(within(t), "hello")
				switch exchange.Reason(err) {
				case exchange.ReasonWaitOver:
					stored.Add(1)
				case exchange.ReasonNotStored: // the broker was too slow, and nothing is known of this one
				default:
					t.Errorf("%v", err)
				}
			})
		}
		calls.Wait()
	}
	for range stored.Load() {
		e := <-entries
		require.Empty(t, n.ended(e.ReplyTo, e.RequestID))
		e.ack()
	}
}

func TestNodesAreToldWhichRequestsEndedUnanswered(t *testing.T) {
	w := newWorld(t)
	entries := make(chan entry, 1)
	n := w.newNode("say", func(e entry) { entries <- e })
	call := func(ctx context.Context) (entry, chan error) {
		done := make(chan error, 1)
		go func() {
			_, err := w.say(ctx, "hello")
			done <- err
		}()
		return <-entries, done
	}
	answered, done := call(within(t))
	echo(answered)
	require.NoError(t, <-done)

	failed, done := call(within(t))
	failed.reply(wire.Error, "model", failureBody("model", "no", 1, failed.RequestID))
	require.Error(t, <-done)

	ctx, leave := context.WithCancel(within(t))
	left, done := call(ctx)
	leave()
	require.Equal(t, codes.Canceled, status.Code(<-done))

	ctx, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	over, done := call(ctx)
	require.Equal(t, codes.DeadlineExceeded, status.Code(<-done))

	waits, done := call(within(t))
	all := []string{answered.RequestID, failed.RequestID, left.RequestID, over.RequestID, waits.RequestID, exchange.NewID()}
	eventually(t, "those who left are known", func() bool { return len(n.ended(waits.ReplyTo, all...)) == 2 })
	require.Equal(t, []string{left.RequestID, over.RequestID}, n.ended(waits.ReplyTo, all...))
	require.Empty(t, n.ended(waits.ReplyTo))

	_, err := n.conn.RequestMsg(&nats.Msg{Subject: waits.ReplyTo, Header: nats.Header{wire.HeaderAsk: {"else"}}}, 200*time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout, "another question is not answered")
	echo(waits)
	require.NoError(t, <-done)
}
