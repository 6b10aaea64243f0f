package store

import (
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// cable is a connection in a test's hand: what is sent, and how to answer it.
type cable struct {
	t       *testing.T
	away    bool
	sent    []string // ids, in the order in which they were sent
	answers []func(*nats.Msg)
	store   *Store
}

func newCable(t *testing.T) *cable {
	w := &cable{t: t}
	w.store = &Store{log: logline.New(io.Discard, logline.Options{}), lanes: make(map[string]*lane)}
	w.store.send = func(msg *nats.Msg, then func(*nats.Msg)) error {
		if w.away {
			return broker.ErrAway
		}
		w.sent = append(w.sent, msg.Header.Get(nats.MsgIdHdr))
		w.answers = append(w.answers, then)
		return nil
	}
	return w
}

func (w *cable) begin(ids ...string) *Saving {
	records := make([]Record, 0, len(ids))
	for _, id := range ids {
		records = append(records, Record{Stream: "out", ID: id, Subject: "out.x", Header: map[string][]string{}})
	}
	return w.store.Begin(records...)
}

// confirm confirms what was sent i-th.
func (w *cable) confirm(i int) {
	w.answers[i](&nats.Msg{Data: []byte(`{"stream":"out","seq":` + strconv.Itoa(i+1) + `}`)})
}

func (w *cable) refuse(i, code int) {
	w.answers[i](&nats.Msg{Data: []byte(`{"error":{"err_code":` + strconv.Itoa(code) + `,"description":"no"},"stream":"out","seq":0}`)})
}

func (w *cable) lane() *lane { return w.store.lane("out") }

func (w *cable) stored(saving *Saving) []Outcome {
	w.t.Helper()
	outcomes, err := saving.Finish(w.t.Context())
	require.NoError(w.t, err)
	return outcomes
}

func TestWhatIsSlowIsSentOnce(t *testing.T) {
	w := newCable(t)
	saving := w.begin("a", "b")
	w.lane().look(time.Now().Add(wire.Patience(false) - time.Second))
	w.confirm(0)
	w.confirm(1)
	require.Equal(t, []Outcome{{Sequence: 1}, {Sequence: 2}}, w.stored(saving))
	require.Equal(t, []string{"a", "b"}, w.sent)
}

func TestWhatIsOvertakenIsSentAtOnceAgain(t *testing.T) {
	w := newCable(t)
	first, second := w.begin("a", "b", "c"), w.begin("d")
	w.confirm(0)
	w.confirm(3)
	require.Equal(t, []string{"a", "b", "c", "d", "b", "c"}, w.sent, "the lost ones, in order")
	require.Equal(t, []Outcome{{Sequence: 4}}, w.stored(second))
	w.confirm(1) // too late: nobody asks any more what became of the first try
	w.confirm(4)
	w.confirm(5)
	require.Equal(t, []Outcome{{Sequence: 1}, {Sequence: 5, Repeated: true}, {Sequence: 6, Repeated: true}}, w.stored(first))
	require.Len(t, w.sent, 6)
}

func TestARefusalOvertakesNothing(t *testing.T) {
	w := newCable(t)
	first, second := w.begin("a"), w.begin("b")
	w.refuse(1, 10077)
	require.Equal(t, []string{"a", "b"}, w.sent)
	w.confirm(0)
	w.stored(first)
	done := make(chan []Outcome)
	go func() { done <- w.stored(second) }()
	require.Eventually(t, func() bool {
		w.lane().mu.Lock()
		defer w.lane().mu.Unlock()
		return len(w.sent) == 3
	}, time.Minute, time.Millisecond, "it is sent again after a while")
	w.confirm(2)
	require.Equal(t, []Outcome{{Sequence: 3, Repeated: true}}, <-done)
}

func TestALostConnectionLosesEverythingAndItIsSentInOrderWhenItIsBack(t *testing.T) {
	w := newCable(t)
	saving := w.begin("a", "b")
	w.away = true
	w.answers[1](nil)
	w.answers[0](nil)
	late := w.begin("c")
	require.Equal(t, []string{"a", "b"}, w.sent)
	w.away = false
	w.lane().resume()
	require.Equal(t, []string{"a", "b", "a", "b", "c"}, w.sent)
	for i := range 3 {
		w.confirm(2 + i)
	}
	w.stored(saving)
	w.stored(late)
}

func TestWhatIsNeverConfirmedIsSentAgainAfterALongTime(t *testing.T) {
	for _, replicated := range []bool{false, true} {
		w := newCable(t)
		after := wire.Patience(false)
		if replicated {
			w.store.Replicated()
			after = wire.Patience(true)
		}
		saving := w.begin("a")
		w.lane().look(time.Now().Add(after - time.Second))
		require.Equal(t, []string{"a"}, w.sent)
		w.lane().look(time.Now().Add(after + time.Second))
		require.Equal(t, []string{"a", "a"}, w.sent)
		w.confirm(1)
		w.stored(saving)
	}
}

func TestHowMuchIsUnconfirmedFollowsConfirmations(t *testing.T) {
	w := newCable(t)
	for i := range 4 * firstWindow {
		w.begin(strconv.Itoa(i))
	}
	require.Len(t, w.sent, firstWindow)
	w.lane().under.Oldest().At = time.Now().Add(-2 * slow)
	w.confirm(0)
	require.Len(t, w.sent, firstWindow, "a slow confirmation makes room for none")
	require.Equal(t, firstWindow/2, w.lane().window)
	w.lane().under.Oldest().At = time.Now().Add(-2 * slow)
	w.confirm(1)
	require.Equal(t, firstWindow/2, w.lane().window, "not for each of them")
	for i := 2; i < firstWindow; i++ {
		w.confirm(i)
	}
	require.Greater(t, w.lane().window, firstWindow/2, "fast ones make room")
	require.Equal(t, w.lane().window, len(w.sent)-firstWindow)
}

func TestWhatNobodyWaitsForIsNotSent(t *testing.T) {
	w := newCable(t)
	w.away = true
	saving := w.begin("a", "b")
	w.lane().forget(saving.all[:1])
	w.away = false
	w.lane().resume()
	require.Equal(t, []string{"b"}, w.sent)
}
