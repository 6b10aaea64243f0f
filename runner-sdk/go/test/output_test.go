package test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestOutputIsStoredUnderTheRunsID(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), echo)
	in := b.ask("hello")
	out := b.outputs(1)[0]
	b.settled()

	run := wire.RunID(in.ID, "flow", "n-1", 0)
	require.Equal(t, outSubject, out.subject)
	require.Equal(t, run, out.header.Get("Nats-Msg-Id"))
	require.Equal(t, "hello", out.text(t))
	require.False(t, out.AcceptedAt.IsZero(), "the time at which the entry message was stored")
	steps, err := out.Timing.Steps()
	require.NoError(t, err)
	require.Len(t, steps, 1)
	require.Equal(t, "N_1", steps[0].Node)

	want := in
	want.ID, want.Sender = wire.OutputID(run, 0), "N_1"
	want.AcceptedAt, want.Timing = out.AcceptedAt, out.Timing
	require.Equal(t, want, out.Message)
}

func TestAcceptedTimeOfAnEarlierNodeIsKept(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), echo)
	in := b.request(wrapperspb.String("hello"))
	in.Sender, in.ID, in.Timing, in.AcceptedAt = "etl", "5f0c", "etl=7", time.Unix(0, 42)
	b.send(in)
	out := b.outputs(1)[0]
	require.Equal(t, in.AcceptedAt, out.AcceptedAt)
	require.Regexp(t, `^etl=7,N_1=\d+$`, string(out.Timing))
}

func TestMessageThatAPersonSentAgainIsANewRun(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), echo)
	in := b.request(wrapperspb.String("hello"))
	in.Resend = 2
	b.send(in)
	out := b.outputs(1)[0]
	require.Equal(t, wire.RunID(in.ID, "flow", "n-1", 2), out.header.Get("Nats-Msg-Id"))
	require.Zero(t, out.Resend)
}

func TestSeveralOutputsAreOneParcelAndAreTakenOutInOrder(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		return errors.Join(
			ctx.SendOutput(wrapperspb.String("one")),
			ctx.SendOutput(wrapperspb.String("two"), "side"),
			ctx.SendOutput(wrapperspb.String("unheard"), "nobody"),
			ctx.SendOutput(wrapperspb.String("three")),
		)
	})
	in := b.ask("go")
	run := wire.RunID(in.ID, "flow", "n-1", 0)
	for i, out := range b.outputs(3) {
		require.Equal(t, []string{"one", "two", "three"}[i], out.text(t))
		require.Equal(t, []string{outSubject, sideSubject, outSubject}[i], out.subject)
		require.Equal(t, wire.OutputID(run, i), out.ID)
		require.Equal(t, wire.OutputID(run, i), out.header.Get("Nats-Msg-Id"))
		require.Empty(t, out.header.Get(wire.HeaderParcel))
	}
	b.settled()
	b.empty()
	require.EqualValues(t, 4, b.state(outStream).LastSeq, "the parcel and what was in it")
}

func TestOutputsLargerThanAMessageTogetherTravelInSeveralParcels(t *testing.T) {
	b := newBed(t)
	const many = 11
	big := strings.Repeat("x", 300_000) // three fit into a message
	b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		for i := range many {
			if err := ctx.SendOutput(wrapperspb.String(fmt.Sprint(i) + big)); err != nil {
				return err
			}
		}
		return nil
	})
	in := b.ask("go")
	run := wire.RunID(in.ID, "flow", "n-1", 0)
	for i, out := range b.outputs(many) {
		require.Equal(t, fmt.Sprint(i)+big, out.text(t))
		require.Equal(t, wire.OutputID(run, i), out.ID)
	}
	b.settled()
	b.empty()
	require.EqualValues(t, many+4, b.state(outStream).LastSeq)
}

func TestSecondRunAddsNothing(t *testing.T) {
	for name, outputs := range map[string]int{"one output": 1, "several outputs": 3} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			caller := b.caller(0)
			in := b.ask("go")
			// What an earlier process stored before it died, without having acknowledged.
			earlier := b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
				for range outputs {
					if err := ctx.SendOutput(wrapperspb.String("first run")); err != nil {
						return err
					}
				}
				return nil
			})
			b.outputs(outputs)
			b.settled()
			earlier.end()
			last := b.state(outStream).LastSeq

			b.resend(in)
			b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
				return errors.Join(
					ctx.SendOutput(wrapperspb.String("second run")),
					ctx.SendOutput(wrapperspb.String("and something else")),
				)
			})
			b.settled()
			require.Equal(t, last, b.state(outStream).LastSeq)
			require.Empty(t, caller.all())
		})
	}
}

func TestFullStreamPushesBackAndRecovers(t *testing.T) {
	b := newBed(t, func(c *streamConfig) { c.MaxMsgsPerSubject = 5 })
	for i := range 20 {
		b.ask(fmt.Sprint(i))
	}
	p := b.run(b.node(), echo)
	b.eventually(func() bool { return b.state(outStream).Msgs == 5 }, "the stream is full")
	b.eventually(func() bool { return b.state(entryStream).Msgs == 20-5 }, "the other inputs wait")
	seen := make(map[string]bool)
	for range 20 {
		seen[b.outputs(1)[0].text(t)] = true
	}
	require.Len(t, seen, 20)
	b.settled()
	p.end()
	require.NoError(t, p.err)
}

func TestFullSubjectsPushBackParcelsAndRecover(t *testing.T) {
	const room, runs = 50, 300
	b := newBed(t, func(c *streamConfig) { c.MaxMsgsPerSubject = room })
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		return errors.Join(ctx.SendAny(body), ctx.SendAny(body, "side"))
	})
	var want []string
	for i := range runs {
		b.ask(fmt.Sprint(i))
		want = append(want, fmt.Sprint(i), fmt.Sprint(i))
	}
	// Nobody takes anything: the subjects fill, then the parcels wait, then the inputs do.
	b.eventually(func() bool { return b.subjects()[parcelSubject] == room }, "no parcel fits any more")
	b.eventually(func() bool { return b.subjects()[outSubject] > room*8/10 }, "the subjects have filled")
	require.LessOrEqual(t, b.subjects()[outSubject], uint64(room))
	require.NotZero(t, b.state(entryStream).Msgs, "the other inputs wait")
	var got []string
	for range 2 * runs {
		got = append(got, b.outputs(1)[0].text(t))
	}
	require.ElementsMatch(t, want, got, "each once")
	b.settled()
	b.empty()
}

func TestOutputLargerThanTheBrokerTakesIsAFinalError(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.node(), func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		_ = ctx.SendOutput(wrapperspb.Bytes(make([]byte, 1<<20)))
		return nil
	})
	b.ask("go")
	letter := b.deadLetters(1)[0]
	require.Equal(t, "an output of 1048632 bytes is larger than the 1044480 bytes that the broker takes", letter.header.Get(wire.HeaderError))
	require.Equal(t, "1", letter.header.Get(wire.HeaderAttempts))
	require.Equal(t, wire.AttemptFailed, caller.wait(1)[0].Kind)
}

func TestHandlersWaitWhenTooManyRunsAreUnconfirmed(t *testing.T) {
	b := newBed(t, func(c *streamConfig) { c.MaxMsgsPerSubject = 1 })
	var runs atomic.Int64
	for i := range 600 {
		b.ask(fmt.Sprint(i))
	}
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		runs.Add(1)
		return ctx.SendAny(body)
	})
	// One is stored, 256 wait for it to go, and more are held for their turn.
	b.eventually(func() bool { return runs.Load() >= 1+256 && b.ackPending() > 256 }, "as many are held as may be")
	require.EqualValues(t, 1+256, runs.Load())
	seen := make(map[string]bool)
	stream, err := b.js.Stream(t.Context(), outStream)
	require.NoError(t, err)
	_, err = b.js.UpdateStream(t.Context(), streamConfig{
		Name: outStream, Subjects: stream.CachedInfo().Config.Subjects, Retention: stream.CachedInfo().Config.Retention,
		Discard: stream.CachedInfo().Config.Discard, MaxMsgs: 1000, Duplicates: time.Minute, AllowAtomicPublish: true,
	})
	require.NoError(t, err)
	for _, out := range b.outputs(600) {
		seen[out.text(t)] = true
	}
	require.Len(t, seen, 600)
	b.settled()
}
