package test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestExitpointAnswersTheCaller(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.exitpoint(), echo)
	in := b.ask("hello")
	b.settled()
	replies := caller.all()
	require.Len(t, replies, 1)
	require.Equal(t, wire.OK, replies[0].Kind)
	require.Equal(t, in.RequestID, replies[0].RequestID)
	require.Equal(t, "N_1", replies[0].Sender)
	require.Equal(t, "hello", unpack(t, replies[0].Body))
	require.Regexp(t, `^N_1=\d+$`, string(replies[0].Timing))
	require.False(t, replies[0].SentAt.IsZero())
}

func TestReplyIsRepeatedUntilItIsConfirmed(t *testing.T) {
	b := newBed(t)
	caller := b.caller(2)
	b.run(b.exitpoint(), echo)
	b.ask("hello")
	b.settled()
	require.GreaterOrEqual(t, len(caller.all()), 3)
}

func TestReplyIsGivenUpWhenTheWaitIsOver(t *testing.T) {
	b := newBed(t)
	caller := b.caller(1000)
	p := b.run(b.exitpoint(), echo)
	in := b.request(wrapperspb.String("hello"))
	in.Timeout = 3 * time.Second
	b.send(in)
	b.settled()
	require.NotEmpty(t, caller.all())
	require.Equal(t, "the caller's wait is over", p.log.records(t)[0]["error"])
}

func TestReplyIsGivenUpWhenNobodyListensForLong(t *testing.T) {
	b := newBed(t)
	p := b.run(b.exitpoint(), echo)
	b.ask("hello")
	b.settled()
	require.Equal(t, "no entrypoint listens any more", p.log.records(t)[0]["error"])
}

func TestUnconfirmedReplyDoesNotHoldUpOthers(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.exitpoint(), echo)
	in := b.request(wrapperspb.String("into the void"))
	in.ReplyTo = "kre.v1._reply.gone"
	b.send(in)
	b.ask("hello")
	require.Equal(t, "hello", unpack(t, caller.wait(1)[0].Body))
	b.eventually(func() bool { return b.state(entryStream).Msgs == 1 }, "only the first one still waits to be confirmed")
}

func TestEarlyReplyReachesTheCallerAtOnceAndTheExitpoint(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	goOn := make(chan struct{})
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if err := ctx.SendEarlyReply(wrapperspb.String("early")); err != nil {
			return err
		}
		<-goOn
		return ctx.SendAny(body)
	})
	b.ask("late")
	reply := caller.wait(1)[0]
	require.Equal(t, wire.EarlyReply, reply.Kind)
	require.Equal(t, "early", unpack(t, reply.Body))
	close(goOn)
	outs := b.outputs(2)
	b.settled()
	require.Equal(t, earlySubject, outs[0].subject)
	require.Equal(t, wire.EarlyReply, outs[0].Kind)
	require.Equal(t, "early", outs[0].text(t))
	require.Equal(t, outSubject, outs[1].subject)
	require.Equal(t, wire.OK, outs[1].Kind)
	require.Len(t, caller.all(), 1)
}

func TestEarlyExitIsTheOnlyOutput(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		return errors.Join(ctx.SendAny(body), ctx.SendEarlyExit(wrapperspb.String("exit")), ctx.SendAny(body, "side"))
	})
	b.ask("late")
	b.settled()
	require.Equal(t, wire.EarlyExit, caller.all()[0].Kind)
	out := b.outputs(1)[0]
	require.Equal(t, earlySubject, out.subject)
	require.Equal(t, wire.EarlyExit, out.Kind)
	require.EqualValues(t, 1, b.state(outStream).LastSeq)
}

func TestEarlyExitOnAChannelTheExitpointDoesNotHearIsNotStored(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		return errors.Join(ctx.SendEarlyExit(wrapperspb.String("exit"), "side"), ctx.SendAny(body))
	})
	b.ask("late")
	b.settled()
	require.Equal(t, []wire.Kind{wire.EarlyExit}, kinds(caller.all()))
	require.Zero(t, b.state(outStream).LastSeq)
}

func TestRunThatSentNothingIsNoted(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	p := b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error { return ctx.SendAny(body, "nobody") })
	b.ask("one")
	b.ask("two")
	replies := caller.wait(2)
	require.Equal(t, []wire.Kind{wire.NothingSent, wire.NothingSent}, kinds(replies))
	require.Empty(t, replies[0].Body)
	b.settled()
	require.Len(t, p.log.records(t), 1, "one warning for the channel")
	require.Equal(t, "node N_1 sends to its channel nobody, to which nobody listens: that is dropped", p.log.records(t)[0]["message"])
}

func TestExitpointSendingElsewhereDoesNotAnswer(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.exitpoint(), func(ctx *kre.HandlerContext, body *anypb.Any) error { return ctx.SendAny(body, "side") })
	b.ask("one")
	require.Equal(t, wire.NothingSent, caller.wait(1)[0].Kind)
}
