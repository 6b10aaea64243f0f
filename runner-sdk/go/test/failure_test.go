package test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// failure reads what an error's body says.
func failure(t *testing.T, body []byte) wire.Failure {
	t.Helper()
	st, err := wire.ReadStatus(body)
	require.NoError(t, err)
	f, err := wire.FailureOf(st)
	require.NoError(t, err)
	return f
}

func kinds(replies []wire.Reply) []wire.Kind {
	all := make([]wire.Kind, 0, len(replies))
	for _, reply := range replies {
		all = append(all, reply.Kind)
	}
	return all
}

func TestFailedAttemptIsRepeatedUntilItSucceeds(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if err := ctx.SendOutput(wrapperspb.String(fmt.Sprint("attempt ", ctx.GetAttempt()))); err != nil {
			return err
		}
		if ctx.GetAttempt() < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	in := b.ask("go")
	require.Equal(t, "attempt 3", b.outputs(1)[0].text(t))
	b.settled()
	replies := caller.wait(2)
	require.Equal(t, []wire.Kind{wire.AttemptFailed, wire.AttemptFailed}, kinds(replies))
	require.Equal(t, wire.Failure{
		Node: "N_1", Workflow: "flow", RequestID: in.RequestID, MessageID: in.ID, Attempts: 2, Text: "not yet",
	}, failure(t, replies[1].Body))
	require.Zero(t, b.state(deadStream).Msgs)
}

func TestWaitingForTheNextAttemptLetsOthersGoOn(t *testing.T) {
	b := newBed(t)
	node := b.node()
	node.MaxAttempts = 1000
	var others atomic.Int64
	b.run(node, func(ctx *kre.HandlerContext, body *anypb.Any) error {
		switch {
		case textOf(body) != "slow":
			others.Add(1)
			return nil
		case others.Load() < 10:
			return errors.New("the others first")
		}
		return ctx.SendOutput(wrapperspb.String("slow"))
	})
	b.ask("slow")
	for i := range 10 {
		b.ask(fmt.Sprint(i))
	}
	require.Equal(t, "slow", b.outputs(1)[0].text(t))
}

func TestExhaustedMessageBecomesErrorDeadLetterAndReply(t *testing.T) {
	ends := map[string]struct {
		handler  kre.Handler
		attempts int
		text     string
	}{
		"an error, after all attempts": {
			func(*kre.HandlerContext, *anypb.Any) error { return errors.New("no\nprice") }, 3, "no\nprice",
		},
		"a final error, at once": {
			func(*kre.HandlerContext, *anypb.Any) error {
				return fmt.Errorf("price: %w", kre.Final(errors.New("none")))
			}, 1, "price: none",
		},
		"a panic": {func(*kre.HandlerContext, *anypb.Any) error { panic("no price") }, 3, "panic: no price"},
		"the end of the goroutine": {
			func(*kre.HandlerContext, *anypb.Any) error { runtime.Goexit(); return nil }, 3,
			"the handler ended its goroutine (runtime.Goexit)",
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			caller := b.caller(0)
			p := b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
				if textOf(body) == "good" {
					return ctx.SendAny(body)
				}
				if err := ctx.SendOutput(wrapperspb.String("dropped")); err != nil {
					return err
				}
				return end.handler(ctx, body)
			})
			in := b.ask("bad")
			out := b.outputs(1)[0]
			b.settled()

			run := wire.RunID(in.ID, "flow", "n-1", 0)
			want := wire.Failure{
				Node: "N_1", Workflow: "flow", RequestID: in.RequestID, MessageID: in.ID, Attempts: end.attempts, Text: end.text,
			}
			require.Equal(t, errorSubject, out.subject)
			require.Equal(t, run, out.header.Get("Nats-Msg-Id"))
			require.Equal(t, wire.Error, out.Kind)
			require.Equal(t, wire.OutputID(run, 0), out.ID)
			require.Equal(t, want, failure(t, out.Body))

			letter := b.deadLetters(1)[0]
			require.Equal(t, deadSubject, letter.subject)
			require.Equal(t, in, letter.Message)
			require.Equal(t, run, letter.header.Get("Nats-Msg-Id"))
			require.Equal(t, fmt.Sprint(end.attempts), letter.header.Get(wire.HeaderAttempts))
			require.Equal(t, entrySubject, letter.header.Get(wire.HeaderInputSubject))
			require.NotEmpty(t, letter.header.Get(wire.HeaderFailedAt))
			require.NotContains(t, letter.header.Get(wire.HeaderError), "\n")

			replies := caller.all()
			require.Len(t, replies, end.attempts+1)
			last := replies[end.attempts]
			require.Equal(t, wire.Error, last.Kind)
			require.Equal(t, want, failure(t, last.Body))

			// The neighbours never notice.
			b.ask("good")
			require.Equal(t, "good", b.outputs(1)[0].text(t))
			if name == "a panic" {
				require.Contains(t, p.log.records(t)[0]["stack"], "failure_test.go")
			}
		})
	}
}

func TestErrorOfANodeOffThePathDoesNotAnswerTheCaller(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	node := b.node()
	node.OnPath, node.Output, node.MaxAttempts = false, nil, 1
	b.run(node, func(*kre.HandlerContext, *anypb.Any) error { return errors.New("no") })
	b.ask("go")
	b.deadLetters(1)
	b.settled()
	require.Equal(t, []wire.Kind{wire.AttemptFailed}, kinds(caller.wait(1)))
}

func TestFailureAfterAnEarlierSuccessHasNoConsequence(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	in := b.ask("go")
	earlier := b.run(b.node(), echo)
	b.settled() // the output stays unread, and so the broker can tell what it was
	earlier.end()

	b.resend(in)
	node := b.node()
	node.MaxAttempts = 1
	b.run(node, func(*kre.HandlerContext, *anypb.Any) error { return errors.New("no") })
	b.settled()
	require.Equal(t, []wire.Kind{wire.AttemptFailed}, kinds(caller.wait(1)))
	require.Zero(t, b.state(deadStream).Msgs)
	require.EqualValues(t, 1, b.state(outStream).LastSeq)
}

func TestErrorStoredByAProcessThatDiedIsFinishedByTheNext(t *testing.T) {
	b := newBed(t)
	caller := b.caller(0)
	in := b.request(wrapperspb.String("go"))
	run := wire.RunID(in.ID, "flow", "n-1", 0)
	// Its error was stored, and nothing after it.
	out := in
	out.ID, out.Kind, out.Sender = wire.OutputID(run, 0), wire.Error, "N_1"
	b.store(errorSubject, run, out)
	b.send(in)
	node := b.node()
	node.MaxAttempts = 1
	b.run(node, func(*kre.HandlerContext, *anypb.Any) error { return errors.New("no") })
	b.deadLetters(1)
	b.settled()
	require.Equal(t, []wire.Kind{wire.AttemptFailed, wire.Error}, kinds(caller.all()))
	require.EqualValues(t, 1, b.state(outStream).LastSeq)
}

func TestNoHandlerForTheSenderIsAFinalError(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), kre.Typed(func(*kre.Context, *wrapperspb.BoolValue) (*wrapperspb.BoolValue, error) { return nil, nil }))
	b.ask("not a bool")
	letter := b.deadLetters(1)[0]
	require.Equal(t, `message from "entrypoint": expected google.protobuf.BoolValue, received google.protobuf.StringValue`,
		letter.header.Get(wire.HeaderError))
	require.Equal(t, "1", letter.header.Get(wire.HeaderAttempts))
}

func TestWhatIsNoMessageBecomesADeadLetter(t *testing.T) {
	b := newBed(t)
	p := b.run(b.node(), echo)
	in := b.request(wrapperspb.String("go"))
	in.Sender = ""
	_, err := b.js.PublishMsg(t.Context(), &natsMsg{Subject: entrySubject, Header: in.Header(), Data: in.Body})
	require.NoError(t, err)
	b.ask("good")
	require.Equal(t, "good", b.outputs(1)[0].text(t))
	b.eventually(func() bool { return b.state(deadStream).Msgs == 1 }, "it is put aside")
	b.settled()
	require.Equal(t, "not a message of KRE: header Kre-Sender: missing", p.log.records(t)[0]["error"])
}

func TestErrorOfANodeBefore(t *testing.T) {
	errorOf := func(b *bed) wire.Message {
		body, err := wire.Failure{Node: "etl", Workflow: "flow", Text: "no"}.Body()
		require.NoError(t, err)
		in := b.request(wrapperspb.String(""))
		in.Kind, in.Sender, in.ID, in.Body = wire.Error, "etl", "5f0c", body
		return b.send(in)
	}
	typed := kre.Typed(func(*kre.Context, *wrapperspb.BoolValue) (*wrapperspb.BoolValue, error) {
		return nil, errors.New("never called")
	})
	t.Run("is passed on by a typed handler", func(t *testing.T) {
		b := newBed(t)
		caller := b.caller(0)
		b.run(b.node(), typed)
		in := errorOf(b)
		out := b.outputs(1)[0]
		b.settled()
		require.Equal(t, errorSubject, out.subject)
		require.Equal(t, wire.RunID("5f0c", "flow", "n-1", 0), out.header.Get("Nats-Msg-Id"))
		require.Equal(t, in.Body, out.Body)
		require.Equal(t, "N_1", out.Sender)
		require.Empty(t, caller.all())
	})
	t.Run("answers the caller by a typed exitpoint", func(t *testing.T) {
		b := newBed(t)
		caller := b.caller(0)
		b.run(b.exitpoint(), typed)
		in := errorOf(b)
		reply := caller.wait(1)[0]
		require.Equal(t, wire.Error, reply.Kind)
		require.Equal(t, in.Body, reply.Body)
		b.settled()
	})
	t.Run("is handled by an untyped handler", func(t *testing.T) {
		b := newBed(t)
		b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
			var st status.Status
			if err := body.UnmarshalTo(&st); err != nil || !ctx.IsMessageError() {
				return fmt.Errorf("no error: %w", err)
			}
			return ctx.SendOutput(wrapperspb.String("seen: " + st.GetMessage()))
		})
		errorOf(b)
		require.Equal(t, "seen: etl: no", b.outputs(1)[0].text(t))
	})
	t.Run("that an untyped handler fails on is tried once and has no consequence", func(t *testing.T) {
		b := newBed(t)
		var calls atomic.Int64
		p := b.run(b.node(), func(*kre.HandlerContext, *anypb.Any) error {
			calls.Add(1)
			return errors.New("cannot handle errors")
		})
		errorOf(b)
		b.settled()
		require.EqualValues(t, 1, calls.Load())
		require.Zero(t, b.state(deadStream).Msgs)
		require.Zero(t, b.state(outStream).LastSeq)
		require.Equal(t, "cannot handle errors", p.log.records(t)[0]["error"])
	})
	t.Run("or an early message that a typed handler gets is dropped", func(t *testing.T) {
		b := newBed(t)
		caller := b.caller(0)
		b.run(b.node(), typed)
		in := b.request(wrapperspb.Bool(true))
		in.Kind = wire.EarlyReply
		b.send(in)
		b.settled()
		require.Zero(t, b.state(outStream).LastSeq)
		require.Empty(t, caller.all())
	})
}
