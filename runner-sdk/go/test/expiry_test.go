package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// overdue is a request whose caller's time is over.
func (b *bed) overdue(change ...func(*wire.Message)) wire.Message {
	b.t.Helper()
	m := b.request(wrapperspb.String("late"))
	m.AcceptedAt, m.Timeout = time.Now().Add(-time.Minute), time.Second
	for _, c := range change {
		c(&m)
	}
	return m
}

// everybody has gone.
func everybody(string) bool { return true }

// statuses collects what a node says of itself on a subject.
func (b *bed) statuses(subject string) (last func() map[string]any) {
	b.t.Helper()
	var mu sync.Mutex
	var status map[string]any
	_, err := b.nc.Subscribe(subject, func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		status = nil
		if err := json.Unmarshal(msg.Data, &status); err != nil {
			b.t.Errorf("a status that cannot be read: %v", err)
		}
	})
	require.NoError(b.t, err)
	require.NoError(b.t, b.nc.Flush())
	return func() map[string]any {
		mu.Lock()
		defer mu.Unlock()
		return status
	}
}

func TestMessagesWhoseCallersHaveGoneAreNotRunAndCounted(t *testing.T) {
	b := newBed(t)
	c := b.caller(0)
	node := b.node()
	node.Status = "kre.v1._status.flow.n-1"
	status := b.statuses(node.Status)
	const late = 300 // more than are asked for at a time
	for range late {
		b.send(b.overdue())
	}
	inTime := b.request(wrapperspb.String("in time"))
	c.gone = func(id string) bool { return id != inTime.ID }
	b.send(inTime)
	p := b.run(node, echo)
	require.Equal(t, "in time", b.outputs(1)[0].text(t))
	b.settled()
	require.Len(t, slices.DeleteFunc(c.questions(), func(id string) bool { return id == inTime.ID }), late)
	require.Equal(t, uint64(1), b.state(outStream).LastSeq, "no other run has stored anything")
	require.Zero(t, b.state(deadStream).Msgs)
	require.Regexp(t, `messages? (was|were) not handled: the callers had gone`, p.log.String())
	b.eventually(func() bool { return status() != nil && status()["expired"] == float64(late) }, "it says how many expired")
}

func TestOneWhoHasWaitedLongIsAskedForBeforeTheDeadline(t *testing.T) {
	for _, gone := range []bool{true, false} {
		t.Run(fmt.Sprint("gone: ", gone), func(t *testing.T) {
			b := newBed(t)
			c := b.caller(0)
			c.gone = func(string) bool { return gone }
			m := b.request(wrapperspb.String("long"))
			m.AcceptedAt, m.Timeout = time.Now().Add(-time.Minute), time.Hour
			b.send(m)
			ends := make(chan bool, 1)
			b.run(b.node(), func(ctx *kre.HandlerContext, in *anypb.Any) error {
				_, set := ctx.Deadline()
				ends <- set
				return ctx.SendAny(in)
			})
			b.settled()
			require.Equal(t, []string{m.ID}, c.questions())
			if gone {
				require.Zero(t, b.state(outStream).LastSeq)
				return
			}
			require.True(t, <-ends, "somebody still waits")
			require.Equal(t, "long", b.outputs(1)[0].text(t))
		})
	}
}

func TestWhatMayStillBeOfUseIsRunHoweverLate(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*wire.Message)
		node      func(*config.Node)
		gone      func(string) bool
		asked     int
		nobody    bool
		delivered int
	}{
		"answered, or still waited for": {asked: 1},
		"nobody can tell":               {nobody: true},
		"the workflow finishes":         {node: func(n *config.Node) { n.Expired = "finish" }, gone: everybody},
		"an answer came before it":      {change: func(m *wire.Message) { m.Answered = true }, gone: everybody},
		"sent again by a person":        {change: func(m *wire.Message) { m.Resend, m.ReplyTo = 1, "" }, gone: everybody},
		"an error":                      {change: func(m *wire.Message) { m.Kind = wire.Error }, gone: everybody},
		"an early reply":                {change: func(m *wire.Message) { m.Kind = wire.EarlyReply }, gone: everybody},
		"three processes had it":        {gone: everybody, delivered: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			var entrypoint *caller
			if !c.nobody {
				entrypoint = b.caller(0)
				entrypoint.gone = c.gone
			}
			m := b.overdue()
			if c.change != nil {
				c.change(&m)
			}
			b.send(m)
			b.giveBack(c.delivered)
			node := b.node()
			if c.node != nil {
				c.node(&node)
			}
			deadline := make(chan bool, 1)
			b.run(node, func(ctx *kre.HandlerContext, _ *anypb.Any) error {
				_, ends := ctx.Deadline()
				deadline <- ends
				return ctx.SendOutput(wrapperspb.String("done"))
			})
			require.Equal(t, "done", b.outputs(1)[0].text(t))
			require.False(t, <-deadline, "its context does not end")
			b.settled()
			if entrypoint != nil {
				require.Len(t, entrypoint.questions(), c.asked)
			}
		})
	}
}

// giveBack takes the first message of the entry stream so many times, and gives it back.
func (b *bed) giveBack(times int) {
	b.t.Helper()
	consumer, err := b.js.Consumer(b.t.Context(), entryStream, "n-1")
	require.NoError(b.t, err)
	for range times {
		msg, err := consumer.Next()
		require.NoError(b.t, err)
		require.NoError(b.t, msg.Nak())
	}
}

func TestMessageThatFailedIsNotTriedAgainForACallerWhoHasGone(t *testing.T) {
	b := newBed(t)
	c := b.caller(0)
	var runs atomic.Int64
	c.gone = func(string) bool { return runs.Load() > 0 }
	p := b.run(b.node(), func(*kre.HandlerContext, *anypb.Any) error {
		runs.Add(1)
		return errors.New("no house there")
	})
	m := b.send(b.overdue())
	letter := b.deadLetters(1)[0]
	require.Equal(t, m.ID, letter.ID)
	require.Equal(t, "1", letter.header.Get(wire.HeaderAttempts))
	require.Equal(t, "no house there (the caller has gone: it is not tried again)", letter.header.Get(wire.HeaderError))
	require.Equal(t, wire.Error, b.outputs(1)[0].Kind)
	b.settled()
	require.Equal(t, int64(1), runs.Load())
	require.NotContains(t, p.log.String(), "not handled")
}

func TestHandlersContextEndsWithTheCallersWait(t *testing.T) {
	b := newBed(t)
	b.caller(0)
	type seen struct {
		deadline time.Time
		set      bool
	}
	deadlines := make(chan seen, 2)
	handler := func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		deadline, set := ctx.Deadline()
		deadlines <- seen{deadline, set}
		return nil
	}
	b.run(b.node(), handler)
	m := b.request(wrapperspb.String("x"))
	m.AcceptedAt, m.Timeout = time.Now().Add(-20*time.Minute), time.Hour
	b.send(m)
	got := <-deadlines
	require.True(t, got.set)
	require.WithinDuration(t, m.AcceptedAt.Add(m.Timeout), got.deadline, time.Minute, "what passed before it came here counts")
	b.settled()
}

func TestNobodyWaitsForANodeThatLeadsToNoAnswer(t *testing.T) {
	b := newBed(t)
	b.caller(0)
	node := b.node()
	node.OnPath = false
	set := make(chan bool, 1)
	b.run(node, func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		_, ends := ctx.Deadline()
		set <- ends
		return nil
	})
	b.ask("x")
	require.False(t, <-set)
	b.settled()
}

func TestWhatFollowsAnAnswerSaysSo(t *testing.T) {
	early := func(ctx *kre.HandlerContext, in *anypb.Any) error {
		before, was := ctx.Deadline()
		if err := ctx.SendEarlyReply(wrapperspb.String("soon")); err != nil {
			return err
		}
		if _, is := ctx.Deadline(); !was || is || before.IsZero() {
			return kre.Final(errors.New("the caller who has been answered sets no deadline"))
		}
		return ctx.SendAny(in, "side")
	}
	for name, c := range map[string]struct {
		handler any
		exit    bool
		want    bool
	}{
		"an early reply":                   {early, false, true},
		"the exitpoint's answer":           {echoTo("", "side"), true, true},
		"the exitpoint's side alone":       {echoTo("side"), true, false},
		"a node that is not the exitpoint": {echoTo("", "side"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.caller(0)
			node := b.node()
			node.Exitpoint = c.exit
			b.run(node, c.handler)
			b.ask("x")
			b.eventually(func() bool { return b.subjects()[sideSubject] > 0 || b.state(deadStream).Msgs > 0 }, "something is stored")
			require.Zero(t, b.state(deadStream).Msgs)
			for _, out := range b.read(outStream, "next", int(b.state(outStream).Msgs)) {
				require.Equal(t, c.want, out.Answered, out.subject)
			}
		})
	}
}

// echoTo sends what it gets to several channels.
func echoTo(channels ...string) kre.Handler {
	return func(ctx *kre.HandlerContext, in *anypb.Any) error {
		for _, channel := range channels {
			if err := ctx.SendAny(in, channel); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestWhatWaitsIsTold(t *testing.T) {
	b := newBed(t)
	b.caller(0)
	node := b.node()
	node.Status = "kre.v1._status.flow.n-1"
	status := b.statuses(node.Status)
	free := make(chan struct{})
	b.run(node, func(*kre.HandlerContext, *anypb.Any) error {
		<-free
		return nil
	})
	for range 10 {
		b.ask("x")
	}
	b.eventually(func() bool {
		s := status()
		return s != nil && s["waiting"] == 9.0 && s["oldest_seconds"].(float64) > 0
	}, "nine wait behind the first")
	close(free)
	b.settled()
	b.eventually(func() bool { return status()["waiting"] == 0.0 && status()["oldest_seconds"] == 0.0 }, "none waits any more")
}

// tardy hands do not begin what has expired meanwhile, as a worker does with what was sent ahead.
type tardy struct {
	engine.Hands
	until  func() // when the turn comes
	begun  atomic.Int64
	missed atomic.Int64
}

func (h *tardy) Begin(a *engine.Attempt) {
	if !a.Expires.IsZero() {
		h.until()
		h.missed.Add(1)
		a.Ended(engine.Ending{Fate: engine.NotBegun})
		return
	}
	h.begun.Add(1)
	h.Hands.Begin(a)
}

func TestWhatExpiresOnItsWayToAWorkerIsAskedForAfterwards(t *testing.T) {
	for _, gone := range []bool{true, false} {
		t.Run(fmt.Sprint("gone: ", gone), func(t *testing.T) {
			b := newBed(t)
			c := b.caller(0)
			c.gone = func(string) bool { return gone }
			m := b.request(wrapperspb.String("x"))
			m.AcceptedAt, m.Timeout = time.Now(), 2*time.Second
			over := m.AcceptedAt.Add(m.Timeout + 100*time.Millisecond)
			hands := &tardy{until: func() { time.Sleep(time.Until(over)) }}
			b.run(b.node(), nil, func(o *engine.Options) {
				hands.Hands = inProcess(func() error { return nil }, io.Discard, func(ctx *kre.HandlerContext, in *anypb.Any) error {
					return ctx.SendOutput(wrapperspb.String(strconv.Itoa(ctx.GetAttempt())))
				})
				o.Hands = hands
			})
			b.send(m)
			b.settled()
			require.Equal(t, []string{m.ID}, c.questions())
			if gone {
				require.Zero(t, hands.begun.Load())
				require.Zero(t, b.state(outStream).LastSeq)
				return
			}
			require.Equal(t, "1", b.outputs(1)[0].text(t), "what was not begun was no attempt")
		})
	}
}
