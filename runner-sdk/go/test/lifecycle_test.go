package test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestBrokerThatRestartsLosesNothing(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	node := b.exitpoint()
	node.Output = b.node().Output
	p := b.run(node, echo)
	const many = 300
	for i := range many {
		if i == many/3 || i == 2*many/3 {
			b.restart()
		}
		b.sendForEver(b.request(wrapperspb.String(fmt.Sprint(i))))
	}
	outs, answers := make(map[string]bool), make(map[string]bool)
	for len(outs) < many {
		outs[b.outputs(1)[0].text(t)] = true
	}
	b.settled()
	for _, reply := range caller.all() {
		answers[unpack(t, reply.Body)] = true
	}
	require.Len(t, answers, many)
	require.Zero(t, b.state(deadStream).Msgs)
	p.end()
	require.NoError(t, p.err)
}

func TestConfirmationThatIsLostIsAskedForAgain(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), echo)
	b.ask("first")
	b.outputs(1)
	b.settled()
	// The broker goes before it can confirm, and comes back with or without the output: either way it is there once.
	for i := range 5 {
		b.sendForEver(b.request(wrapperspb.String(fmt.Sprint(i))))
		b.restart()
	}
	seen := make(map[string]int)
	for range 5 {
		seen[b.outputs(1)[0].text(t)]++
	}
	b.settled()
	require.Len(t, seen, 5)
}

func TestSignsOfLifeKeepWhatIsHeld(t *testing.T) {
	b := newBed(t)
	hold := make(chan struct{})
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		<-hold
		return ctx.SendAny(body)
	})
	signs := b.acknowledgements()
	b.ask("slow")
	// Six signs come in about three seconds, which is longer than the broker waits for an acknowledgement.
	for range 6 {
		require.Equal(t, "+WPI", soon(t, signs))
	}
	c, err := b.js.Consumer(t.Context(), entryStream, "n-1")
	require.NoError(t, err)
	require.Zero(t, c.CachedInfo().NumRedelivered)
	close(hold)
	b.outputs(1)
	b.settled()
}

func TestRedeliveryOfWhatIsHeldIsDropped(t *testing.T) {
	b := newBed(t)
	var runs atomic.Int64
	hold := make(chan struct{})
	started := make(chan struct{}, 10)
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if textOf(body) == "slow" {
			runs.Add(1)
			started <- struct{}{}
			<-hold
		}
		return ctx.SendAny(body)
	})
	// Many quick ones first, so that more is asked for than is there.
	for i := range 50 {
		b.ask(fmt.Sprint(i))
	}
	b.outputs(50)
	b.settled()
	b.ask("slow")
	soon(t, started)
	// Somebody else refuses it in the node's name: the broker delivers it again at once.
	b.nakPending()
	b.eventually(func() bool {
		c, err := b.js.Consumer(t.Context(), entryStream, "n-1")
		return err == nil && c.CachedInfo().NumRedelivered == 1
	}, "it is delivered again")
	// It has arrived when the node has said some times more that the first one is in progress.
	signs := b.acknowledgements()
	for range 5 {
		require.Equal(t, "+WPI", soon(t, signs))
	}
	close(hold)
	require.Equal(t, "slow", b.outputs(1)[0].text(t))
	b.settled()
	require.EqualValues(t, 1, runs.Load())
}

func TestEverythingThatIsDoneIsAcknowledgedWhenTheProcessEnds(t *testing.T) {
	b := newBed(t)
	p := b.run(b.node(), echo)
	const many = 100 // more than are acknowledged together
	for i := range many {
		b.ask(fmt.Sprint(i))
	}
	b.outputs(many)
	p.end()
	require.NoError(t, p.err)
	c, err := b.js.Consumer(t.Context(), entryStream, "n-1")
	require.NoError(t, err)
	require.Zero(t, c.CachedInfo().NumAckPending)
	require.Zero(t, c.CachedInfo().NumRedelivered)
}

func TestSlowHandlerLeavesWorkToOthers(t *testing.T) {
	b := newBed(t)
	hold := make(chan struct{})
	handler := func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if textOf(body) == "slow" {
			<-hold
		}
		return ctx.SendAny(body)
	}
	b.run(b.node(), handler)
	b.ask("slow")
	b.eventually(func() bool { return b.ackPending() == 1 }, "it has begun")
	for i := range 20 {
		b.ask(fmt.Sprint(i))
	}
	b.run(b.node(), handler)
	b.outputs(20)
	close(hold)
	b.outputs(1)
	b.settled()
}

func TestTerminatingProcessFinishesWhatItRunsAndGivesBackTheRest(t *testing.T) {
	b := newBed(t)
	started, hold := make(chan struct{}, 100), make(chan struct{})
	var warm sync.Once
	p := b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if textOf(body) == "quick" {
			return ctx.SendAny(body)
		}
		warm.Do(func() { started <- struct{}{}; <-hold })
		return ctx.SendAny(body)
	})
	for range 20 {
		b.ask("quick")
	}
	b.outputs(20)
	b.eventually(func() bool { _, err := readFile(p.ready); return err == nil }, "the node is ready")
	for i := range 20 {
		b.ask(fmt.Sprint(i))
	}
	soon(t, started)
	answers := b.acknowledgements()
	p.stop()
	givenBack(t, answers)
	b.eventually(func() bool { _, err := readFile(p.ready); return err != nil }, "the ready file is gone")
	// What the first has not begun, another one does, though the first still runs.
	other := b.run(b.node(), echo)
	b.outputs(19)
	close(hold)
	b.outputs(1)
	b.settled()
	soon(t, p.ended)
	require.NoError(t, p.err)
	other.end()
	require.NoError(t, other.err)
}

func TestTerminatingProcessGivesBackWhatWaitsForItsNextAttempt(t *testing.T) {
	b := newBed(t)
	node := b.node()
	node.MaxAttempts = 100
	failed := make(chan struct{}, 100)
	p := b.run(node, func(*kre.HandlerContext, *anypb.Any) error {
		failed <- struct{}{}
		return errors.New("no")
	})
	b.ask("go")
	soon(t, failed)
	answers := b.acknowledgements()
	p.end()
	require.NoError(t, p.err)
	givenBack(t, answers)
	b.run(node, echo)
	require.Equal(t, "go", b.outputs(1)[0].text(t))
	b.settled()
	require.Zero(t, b.state(deadStream).Msgs)
}

func TestHandlerThatDoesNotEndInTimeIsCancelledAndItsMessageGivenBack(t *testing.T) {
	b := newBed(t)
	started := make(chan struct{}, 100)
	cancelled := make(chan struct{})
	p := b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		started <- struct{}{}
		<-ctx.Done()
		close(cancelled)
		return ctx.Err()
	}, func(o *engine.Options) { o.DrainFor = time.Millisecond })
	b.ask("go")
	soon(t, started)
	p.end()
	soon(t, cancelled)
	require.NoError(t, p.err)
	require.Zero(t, b.state(deadStream).Msgs)
	b.run(b.node(), echo)
	require.Equal(t, "go", b.outputs(1)[0].text(t))
}

func TestNodeWithoutItsConsumerEnds(t *testing.T) {
	b := newBed(t)
	node := b.node()
	node.Sources[0].Consumer = "other"
	p := b.run(node, echo)
	soon(t, p.ended)
	require.EqualError(t, p.err,
		`the broker has no consumer "other" of stream "entry_v1_flow": the version has to be prepared before its nodes start`)
	mustNotExist(t, p.ready)
}

func TestNodeWaitsForTheBroker(t *testing.T) {
	b := newBed(t)
	b.server.Shutdown()
	b.server.WaitForShutdown()
	p := b.run(b.node(), echo)
	b.start()
	b.sendForEver(b.request(wrapperspb.String("late")))
	require.Equal(t, "late", b.outputs(1)[0].text(t))
	p.end()
	require.NoError(t, p.err)
}

func TestInitThatFailsEndsTheNode(t *testing.T) {
	for name, load := range map[string]func() error{
		"init: no model":        func() error { return errors.New("no model") },
		"init: panic: no model": func() error { panic("no model") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			p := b.run(b.node(), echo, func(o *engine.Options) { o.Hands = inProcess(load, io.Discard, echo) })
			soon(t, p.ended)
			require.EqualError(t, p.err, name)
			mustNotExist(t, p.ready)
			if strings.Contains(name, "panic") {
				require.Contains(t, p.log.records(t)[0]["stack"], "lifecycle_test.go")
			}
		})
	}
}

func TestSuspiciousMessageIsRecordedWhileItRuns(t *testing.T) {
	b := newBed(t)
	in := b.ask("go")
	b.deliver(2)
	key := "n-1." + in.ID
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		return ctx.SendOutput(wrapperspb.String("starts: " + b.starts(key)))
	})
	require.Equal(t, "starts: 1", b.outputs(1)[0].text(t))
	b.settled()
	b.eventually(func() bool { return b.starts(key) == "" }, "the record is removed")
}

func TestSuspiciousMessageThatFailsIsExhaustedAsAnyOther(t *testing.T) {
	b := newBed(t)
	in := b.ask("go")
	b.deliver(2)
	b.run(b.node(), func(*kre.HandlerContext, *anypb.Any) error { return errors.New("no") })
	require.Equal(t, "3", b.deadLetters(1)[0].header.Get(wire.HeaderAttempts))
	b.settled()
	b.eventually(func() bool { return b.starts("n-1."+in.ID) == "" }, "the record is removed")
}

func TestMessageWithThreeStartsIsNotRun(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	in := b.ask("go")
	b.deliver(2)
	bucket, err := b.js.KeyValue(t.Context(), startsBucket)
	require.NoError(t, err)
	_, err = bucket.PutString(t.Context(), "n-1."+in.ID, "3")
	require.NoError(t, err)
	b.run(b.node(), func(*kre.HandlerContext, *anypb.Any) error {
		t.Error("it was run")
		return nil
	})
	letter := b.deadLetters(1)[0]
	require.Equal(t, "the process ended 5 times while it handled this message", letter.header.Get(wire.HeaderError))
	require.Equal(t, "5", letter.header.Get(wire.HeaderAttempts))
	b.settled()
	require.Equal(t, []wire.Kind{wire.Error}, kinds(caller.all()))
	b.eventually(func() bool { return b.starts("n-1."+in.ID) == "" }, "the record is removed")
}
