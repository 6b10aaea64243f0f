package instance_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestConcurrentRequestsGetTheirOwnAnswersOrTheirOwnErrors(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		text := e.text()
		if strings.HasSuffix(text, "0") {
			e.reply(wire.Error, "model", failureBody("model", "no "+text, 1, e.RequestID))
		} else {
			e.reply(wire.OK, "exit", textBody("answer to "+text))
		}
		e.ack()
	})
	const clients, each = 32, 25
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d/%d", client, i)
				got, err := w.say(within(t), text)
				if strings.HasSuffix(text, "0") {
					if status.Convert(err).Message() != "model: no "+text {
						t.Errorf("%s: got %q, %v", text, got, err)
					}
				} else if err != nil || got != "answer to "+text {
					t.Errorf("%s: got %q, %v", text, got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestAnEntryMessageCarriesWhatTheCallerSaid(t *testing.T) {
	w := newWorld(t)
	seen := make(chan entry, 1)
	w.newNode("say", func(e entry) { seen <- e; echo(e) })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := metadata.AppendToOutgoingContext(within(t), "x-request-id", "order-17", "traceparent", parent, "tracestate", "a=1")

	var header metadata.MD
	_, err := w.say(ctx, "hello", grpc.Header(&header))
	require.NoError(t, err)

	e := <-seen
	require.True(t, wire.ValidRequestID(e.RequestID))
	require.Equal(t, []string{e.RequestID}, header.Get("x-request-id"))
	require.Equal(t, e.RequestID, e.ID)
	require.Equal(t, e.RequestID, e.msg.Headers().Get("Nats-Msg-Id"))
	require.Equal(t, wire.SenderEntrypoint, e.Sender)
	require.Equal(t, wire.OK, e.Kind)
	require.True(t, strings.HasPrefix(e.ReplyTo, "kre.echo-v1._reply."))
	require.Equal(t, "order-17", e.Label)
	require.Equal(t, parent, e.Traceparent)
	require.Equal(t, "a=1", e.Tracestate)
	require.Positive(t, e.Timeout)
	require.LessOrEqual(t, e.Timeout, timeout)
	require.Equal(t, "hello", e.text())
}

func TestWhatACallerSaysWronglyIsLeftOut(t *testing.T) {
	w := newWorld(t)
	seen := make(chan entry, 1)
	w.newNode("say", func(e entry) { seen <- e; echo(e) })
	ctx := metadata.AppendToOutgoingContext(within(t), "x-request-id", strings.Repeat("x", 129),
		"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "tracestate", "a=1")
	_, err := w.say(ctx, "hello")
	require.NoError(t, err)
	e := <-seen
	require.Empty(t, e.Label)
	require.Empty(t, e.Traceparent)
	require.Empty(t, e.Tracestate)
}

func TestTheFirstAnswerOfAnyKindWinsAndAllAreConfirmed(t *testing.T) {
	for _, kind := range []wire.Kind{wire.OK, wire.EarlyReply, wire.EarlyExit} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			n := w.newNode("say", func(e entry) {
				e.reply(kind, "first", textBody("first"))
				e.reply(wire.OK, "second", textBody("second"))
				e.reply(wire.Error, "third", failureBody("third", "too late", 1, e.RequestID))
				e.ack()
			})
			got, err := w.say(within(t), "hello")
			require.NoError(t, err)
			require.Equal(t, "first", got)
			eventually(t, "all three are confirmed", func() bool { return n.confirmations() == 3 })
		})
	}
}

func TestAReplyToARequestThatNobodyKnowsIsConfirmed(t *testing.T) {
	w := newWorld(t)
	n := w.newNode("say", func(e entry) {
		stranger := e
		stranger.RequestID = "01JD7QZ8X5N3V9T4B6K2M0P1RS"
		stranger.reply(wire.OK, "exit", textBody("for somebody else"))
		echo(e)
	})
	got, err := w.say(within(t), "mine")
	require.NoError(t, err)
	require.Equal(t, "mine", got)
	eventually(t, "both are confirmed", func() bool { return n.confirmations() == 2 })
}

func TestAReplyThatIsNoneIsConfirmedAndHindersNothing(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		_, err := e.node.conn.Request(e.ReplyTo, []byte("what?"), patience)
		if err != nil {
			t.Errorf("not confirmed: %v", err)
		}
		echo(e)
	})
	_, err := w.say(within(t), "hello")
	require.NoError(t, err)
	require.Equal(t, 1, w.logs.FilterMessage("passing over a reply").Len())
}

func TestAnErrorReachesTheCallerWithItsDetails(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.reply(wire.Error, "model", failureBody("model", "out of stones", 3, e.RequestID))
		e.ack()
	})
	_, err := w.say(within(t), "hello")
	st := status.Convert(err)
	require.Equal(t, codes.Internal, st.Code())
	require.Equal(t, "model: out of stones", st.Message())
	require.Len(t, st.Details(), 1)
	info := st.Details()[0].(*errdetails.ErrorInfo)
	require.Equal(t, "NODE_FAILED", info.GetReason())
	require.Equal(t, "kre", info.GetDomain())
	require.Equal(t, "model", info.GetMetadata()["node"])
	require.Equal(t, "3", info.GetMetadata()["attempts"])
	require.Len(t, w.calls("Internal"), 1)
	require.Equal(t, "model: out of stones", w.calls("Internal")[0].ContextMap()["error"])
}

func TestAnAnswerOfAnotherTypeIsAnErrorThatNamesBothTypesAndTheNode(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.reply(wire.OK, "exit", anyBody(wrapperspb.Int64(1)))
		e.ack()
	})
	_, err := w.say(within(t), "hello")
	require.Equal(t, codes.Internal, status.Code(err))
	require.Equal(t, "the answer of node exit to Say is wrong: it is a google.protobuf.Int64Value, and the rpc answers with a google.protobuf.StringValue",
		status.Convert(err).Message())
}

func TestTheEndOfTheWaitTellsTheLastFailedAttempt(t *testing.T) {
	w := newWorld(t, timeoutOf(2*time.Second))
	w.newNode("say", func(e entry) {
		e.reply(wire.AttemptFailed, "model", failureBody("model", "first", 1, e.RequestID))
		e.reply(wire.AttemptFailed, "model", failureBody("model", "second", 2, e.RequestID))
		e.reply(wire.NothingSent, "storer", nil)
	})
	_, err := w.say(within(t), "hello")
	st := status.Convert(err)
	require.Equal(t, codes.DeadlineExceeded, st.Code())
	require.Contains(t, st.Message(), "; the last attempt failed: model: second")
	require.Len(t, st.Details(), 2)
	require.Equal(t, "WAIT_OVER", st.Details()[0].(*errdetails.ErrorInfo).GetReason())
	require.Equal(t, "2", st.Details()[1].(*errdetails.ErrorInfo).GetMetadata()["attempts"])
	require.Contains(t, w.calls("DeadlineExceeded")[0].ContextMap()["error"], "model: second")
}

func TestTheEndOfTheWaitTellsWhoSentNothing(t *testing.T) {
	w := newWorld(t, timeoutOf(2*time.Second))
	w.newNode("say", func(e entry) { e.reply(wire.NothingSent, "storer", nil); e.ack() })
	_, err := w.say(within(t), "hello")
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "is storer, which sent nothing")
}

func TestTheCallersDeadlineEndsTheWaitAndTheReasonStillReachesIt(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.reply(wire.AttemptFailed, "model", failureBody("model", "boom", 1, e.RequestID))
	})
	// The answer comes a few milliseconds before the caller's own deadline: on a busy machine not every time.
	eventually(t, "the reason reaches the caller", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := w.say(ctx, "hello")
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		return strings.Contains(status.Convert(err).Message(), "model: boom")
	})
}

func TestTheCallersDeadlineIsWhatNodesAreTold(t *testing.T) {
	w := newWorld(t)
	seen := make(chan entry, 1)
	w.newNode("say", func(e entry) { seen <- e; echo(e) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := w.say(ctx, "hello")
	require.NoError(t, err)
	require.LessOrEqual(t, (<-seen).Timeout, 5*time.Second)
}

func TestACallerWhoGoesAwayEndsTheWaitOnly(t *testing.T) {
	w := newWorld(t)
	arrived, gone := make(chan struct{}), make(chan struct{})
	n := w.newNode("say", func(e entry) { close(arrived); <-gone; echo(e) })
	ctx, cancel := context.WithCancel(within(t))
	go func() { <-arrived; cancel() }()
	_, err := w.say(ctx, "hello")
	require.Equal(t, codes.Canceled, status.Code(err))
	eventually(t, "the call is over", func() bool { return len(w.calls("Canceled")) == 1 })
	close(gone)
	eventually(t, "the late reply is confirmed", func() bool { return n.confirmations() == 1 })
}

func TestRequestsThatWaitWhileTheBrokerRestartsAreAnswered(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	var arrived sync.WaitGroup
	const before, during = 8, 8
	arrived.Add(before)
	var once sync.Map
	w.newNode("say", func(e entry) {
		if _, again := once.LoadOrStore(e.RequestID, true); !again && strings.HasPrefix(e.text(), "before") {
			arrived.Done()
		}
		<-hold
		e.reply(wire.OK, "exit", textBody(e.text()))
		_ = e.msg.Ack() // of a delivery that the restart may have ended
	})
	var all sync.WaitGroup
	ask := func(text string) {
		all.Go(func() {
			got, err := w.say(within(t), text)
			if err != nil || got != text {
				t.Errorf("%s: got %q, %v", text, got, err)
			}
		})
	}
	for i := range before {
		ask(fmt.Sprintf("before %d", i))
	}
	arrived.Wait()
	w.restart(func() {
		for i := range during {
			ask(fmt.Sprintf("during %d", i))
		}
		close(hold)
	})
	all.Wait()
}

func TestARequestThatTheBrokerDoesNotTakeInTimeIsUnavailable(t *testing.T) {
	w := newWorld(t, timeoutOf(400*time.Millisecond))
	w.restart(func() {
		_, err := w.say(within(t), "hello")
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.Contains(t, status.Convert(err).Message(), "the broker did not confirm the request within")
		require.Equal(t, "NOT_STORED", status.Convert(err).Details()[0].(*errdetails.ErrorInfo).GetReason())
		require.True(t, w.instance.Ready(), "others are no better off")
		require.False(t, w.instance.BrokerConnected())
	})
}

func TestAFullStreamRefusesAtOnceAndTakesRequestsAgainLater(t *testing.T) {
	w := newWorld(t)
	js := w.nats.jetstream(t)
	w.createStream(js, w.options.Config.Workflows[0], 1)
	stream, err := js.Stream(within(t), "entry_say")
	require.NoError(t, err)
	first := make(chan error, 1)
	go func() {
		_, err := w.say(within(t), "first")
		first <- err
	}()
	eventually(t, "the stream is full", func() bool {
		info, err := stream.Info(within(t))
		return err == nil && info.State.Msgs == 1
	})
	_, err = w.say(within(t), "second")
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Equal(t, "workflow say has as many requests waiting as it may; try again later", status.Convert(err).Message())
	w.newNode("say", echo)
	require.NoError(t, <-first)
	eventually(t, "there is room again", func() bool {
		_, err := w.say(within(t), "third")
		return err == nil
	})
}

func TestARequestIsSentAgainUnderItsIdWhenItsStreamComesLate(t *testing.T) {
	w := newWorld(t)
	js := w.nats.jetstream(t)
	require.NoError(t, js.DeleteStream(within(t), "entry_say"))
	done := make(chan error, 1)
	before := w.nats.received(t)
	go func() {
		_, err := w.say(within(t), "hello")
		done <- err
	}()
	eventually(t, "it was sent in vain", func() bool { return w.nats.received(t) > before })
	w.createStream(js, w.options.Config.Workflows[0], 100)
	w.newNode("say", echo)
	require.NoError(t, <-done)
	stream, err := js.Stream(within(t), "entry_say")
	require.NoError(t, err)
	eventually(t, "it is stored once", func() bool {
		info, err := stream.Info(within(t))
		return err == nil && info.State.LastSeq == 1
	})
}

func TestNoMoreRequestsAreInFlightThanAllowed(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.MaxInFlight = 2 })
	hold := make(chan struct{})
	arrived := make(chan struct{}, 2)
	w.newNode("say", func(e entry) { arrived <- struct{}{}; <-hold; echo(e) })
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := w.say(within(t), "hello")
			results <- err
		}()
	}
	<-arrived
	<-arrived
	_, err := w.say(within(t), "one too many")
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Equal(t, "2 requests are in flight, which is as many as may be; try again later", status.Convert(err).Message())
	close(hold)
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	_, err = w.say(within(t), "room again")
	require.NoError(t, err)
}

func TestARequestAboveTheBrokersLimitIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	const limit = 1<<20 - 4096
	_, err := w.say(within(t), strings.Repeat("x", limit))
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "the broker takes at most 1044480")

	text := strings.Repeat("x", limit-100)
	got, err := w.say(within(t), text)
	require.NoError(t, err)
	require.Equal(t, text, got)
}

func TestARequestAboveTheEntrypointsLimitIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.MaxRequestBytes = 1000 })
	var header metadata.MD
	_, err := w.say(within(t), strings.Repeat("x", 1000), grpc.Header(&header))
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "1003 vs. 1000")
	eventually(t, "the call is over", func() bool { return len(w.calls("ResourceExhausted")) == 1 })
	require.Len(t, header.Get("x-request-id"), 1)
}

func TestTheAnswerSaysWhereTheTimeWentWhenAsked(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", func(e entry) {
		e.Timing = "etl=5,model=6"
		echo(e)
	})
	var header metadata.MD
	_, err := w.say(metadata.AppendToOutgoingContext(within(t), "x-kre-timing", "1"), "hello", grpc.Header(&header))
	require.NoError(t, err)
	require.Len(t, header.Get("x-kre-timing"), 1)
	require.Regexp(t, `^total=\d+;queue=\d+;etl=5;model=6;exit=7;reply=\d+$`, header.Get("x-kre-timing")[0])

	_, err = w.say(within(t), "hello", grpc.Header(&header))
	require.NoError(t, err)
	require.Empty(t, header.Get("x-kre-timing"))
}

func TestTwoInstancesOfAVersionGetTheAnswersToTheirOwnRequests(t *testing.T) {
	one := newWorld(t)
	two := &world{t: t, nats: one.nats, options: one.options}
	two.start()
	require.NoError(t, two.instance.Await(within(t)))
	one.newNode("say", echo)
	var all sync.WaitGroup
	for i, w := range []*world{one, two} {
		for j := range 20 {
			all.Go(func() {
				text := fmt.Sprintf("%d/%d", i, j)
				if got, err := w.say(within(t), text); err != nil || got != text {
					t.Errorf("%s: got %q, %v", text, got, err)
				}
			})
		}
	}
	all.Wait()
}

func TestIsNotReadyUntilEveryConsumerExists(t *testing.T) {
	w := &world{t: t, nats: startNATS(t, 0, t.TempDir())}
	w.options = newWorldOptions(w)
	w.start()
	awaited := make(chan error, 1)
	go func() { awaited <- w.instance.Await(within(t)) }()

	_, err := w.say(within(t), "too early")
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.False(t, w.instance.Ready())
	js := w.nats.jetstream(t)
	w.createStream(js, w.options.Config.Workflows[0], 10)
	require.False(t, w.instance.Ready(), "one workflow is not enough")
	w.createStream(js, w.options.Config.Workflows[1], 10)
	require.NoError(t, <-awaited)
	require.True(t, w.instance.Ready())
	w.newNode("say", echo)
	_, err = w.say(within(t), "now")
	require.NoError(t, err)
}

func TestStartsWhileTheBrokerIsAwayAndIsReadyWhenItComes(t *testing.T) {
	w := newWorld(t)
	second := &world{t: t, nats: w.nats, options: w.options}
	awaited := make(chan error, 1)
	w.restart(func() {
		second.start()
		go func() { awaited <- second.instance.Await(within(t)) }()
		require.False(t, second.instance.Ready())
	})
	require.NoError(t, <-awaited)
	w.newNode("say", echo)
	got, err := second.say(within(t), "hello")
	require.NoError(t, err)
	require.Equal(t, "hello", got)
}

func timeoutOf(timeout time.Duration) func(*instance.Options) {
	return func(o *instance.Options) {
		for i := range o.Config.Workflows {
			o.Config.Workflows[i].TimeoutMs = timeout.Milliseconds()
		}
	}
}
