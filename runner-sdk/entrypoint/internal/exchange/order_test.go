package exchange

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// silent is a broker that takes everything and confirms nothing by itself.
type silent struct {
	replicated bool

	mu  sync.Mutex
	ids []string
}

func (s *silent) Publish(_ string, message wire.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, message.ID)
	return nil
}

// sent are the ids of what was published, in order.
func (s *silent) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

func (*silent) Survey(string, map[string][]string, []byte, func([]byte) bool) error { return nil }

func (*silent) MaxBody() int       { return 0 }
func (s *silent) Replicated() bool { return s.replicated }

// asking is a call that somebody waits for.
type asking struct {
	*Call
	err error
}

// ask begins calls, one after the other. They end when the context does.
func ask(ctx context.Context, t *testing.T, x *Exchange, count int) []*asking {
	t.Helper()
	rpc := &service.RPC{Name: "Say", Workflow: "say", Subject: "entry.say", Timeout: time.Hour}
	var all []*asking
	for range count {
		call, err := x.Begin(rpc, Caller{})
		require.NoError(t, err)
		one := &asking{Call: call}
		all = append(all, one)
		go func() { _, one.err = call.Ask(ctx, nil) }()
		synctest.Wait()
	}
	return all
}

func exchangeOver(b Broker) *Exchange {
	x := New(b, "reply", zap.NewNop(), Options{})
	x.Start()
	return x
}

func TestNothingIsRepeatedWhileTheBrokerIsSlow(t *testing.T) {
	for name, test := range map[string]struct {
		broker   *silent
		patience time.Duration
	}{
		"alone":         {&silent{}, 30 * time.Second},
		"with replicas": {&silent{replicated: true}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := test.broker
				x := exchangeOver(b)
				ctx, end := context.WithCancel(t.Context())
				ask(ctx, t, x, 3)
				time.Sleep(test.patience - time.Millisecond)
				synctest.Wait()
				require.Len(t, b.sent(), 3)
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				require.Len(t, b.sent(), 6)
				end()
				synctest.Wait()
			})
		})
	}
}

func TestWhatIsOvertakenIsSentAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &silent{}
		x := exchangeOver(b)
		ctx, end := context.WithCancel(t.Context())
		calls := ask(ctx, t, x, 4)
		x.Stored(calls[1].ID)
		x.Stored(calls[2].ID)
		synctest.Wait()
		require.Equal(t, []string{calls[0].ID}, b.sent()[4:])
		// It is the last now, so that nothing is said by what was sent before it.
		x.Stored(calls[3].ID)
		synctest.Wait()
		require.Len(t, b.sent(), 5)
		require.Equal(t, x.Unconfirmed("entry.say"), time.Now())
		x.Stored(calls[0].ID)
		require.Zero(t, x.Unconfirmed("entry.say"))
		end()
		synctest.Wait()
		require.Len(t, b.sent(), 5)
	})
}

func TestWhatIsOvertakenByAProbeIsSentAgainAndTheSecondTimeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &silent{}
		x := exchangeOver(b)
		ctx, end := context.WithCancel(t.Context())
		calls := ask(ctx, t, x, 2)
		time.Sleep(time.Second)
		probe := time.Now()
		time.Sleep(time.Second)
		calls = append(calls, ask(ctx, t, x, 1)...)
		require.False(t, x.Overtaken("entry.say", probe))
		synctest.Wait()
		require.ElementsMatch(t, []string{calls[0].ID, calls[1].ID}, b.sent()[3:])
		require.True(t, x.Overtaken("entry.say", time.Now().Add(time.Nanosecond)))
		end()
		synctest.Wait()
	})
}

func TestAnOutageRefusesThoseThatAreNotStoredAndThoseThatCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &silent{}
		x := exchangeOver(b)
		ctx, end := context.WithCancel(t.Context())
		calls := ask(ctx, t, x, 2)
		x.Stored(calls[0].ID)
		x.Outage("entry.say", "the disk is full")
		synctest.Wait()
		require.NoError(t, calls[0].err, "it is stored, and may be answered")
		require.Equal(t, codes.Unavailable, status.Code(calls[1].err))
		require.Equal(t, "the request cannot be stored: the disk is full", status.Convert(calls[1].err).Message())
		require.Equal(t, ReasonNotStored, Reason(calls[1].err))
		require.Equal(t, "requests are refused: the disk is full", x.Trouble("entry.say"))

		_, err := x.Begin(calls[0].rpc, Caller{})
		require.Equal(t, codes.Unavailable, status.Code(err))

		x.Outage("entry.say", "")
		require.Empty(t, x.Trouble("entry.say"))
		ask(ctx, t, x, 1)
		require.Len(t, b.sent(), 3)
		end()
		synctest.Wait()
	})
}

func TestABrokerThatGoesOnRefusingIsToldToTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &silent{}
		x := exchangeOver(b)
		ctx, end := context.WithCancel(t.Context())
		const reason = "insufficient resources"
		first := ask(ctx, t, x, 1)[0]
		for answered := 0; first.err == nil; {
			sent := len(b.sent())
			for ; answered < sent; answered++ {
				x.Later(first.ID, reason)
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		require.Equal(t, "the request cannot be stored: insufficient resources", status.Convert(first.err).Message())
		require.Greater(t, len(b.sent()), 2, "it was tried again for a while")
		require.Equal(t, "requests are refused: insufficient resources", x.Trouble("entry.say"))

		second := ask(ctx, t, x, 1)[0]
		x.Later(second.ID, reason)
		synctest.Wait()
		require.Equal(t, codes.Unavailable, status.Code(second.err), "at once")

		third := ask(ctx, t, x, 1)[0]
		x.Stored(third.ID)
		require.Empty(t, x.Trouble("entry.say"))
		fourth := ask(ctx, t, x, 1)[0]
		x.Later(fourth.ID, reason)
		synctest.Wait()
		require.NoError(t, fourth.err, "it may have been for a moment only")
		end()
		synctest.Wait()
	})
}

func TestThatAConfirmationIsOwedForLongIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := exchangeOver(&silent{})
		ctx, end := context.WithCancel(t.Context())
		ask(ctx, t, x, 1)
		time.Sleep(5 * time.Second)
		require.Empty(t, x.Trouble("entry.say"))
		time.Sleep(2 * time.Second)
		require.Equal(t, "the broker has not confirmed a request for 7s", x.Trouble("entry.say"))
		end()
		synctest.Wait()
		require.Empty(t, x.Trouble("entry.say"))
	})
}
