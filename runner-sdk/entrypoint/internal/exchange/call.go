package exchange

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/admission"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/envelope"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
	"github.com/konstellation-io/kre/runner-sdk/go/wire/inorder"
)

// When a message is sent again, under the same id: at once when it is known to be lost, else after a while.
const (
	firstResend = 50 * time.Millisecond // it was not sent, or not taken
	lastResend  = 500 * time.Millisecond
)

// Call is one request from its arrival to its answer. It belongs to one goroutine.
type Call struct {
	ID string // request id

	x      *Exchange
	rpc    *service.RPC
	caller Caller
	begun  time.Time
	span   trace.Span // nil: nobody collects traces

	answer   chan wire.Reply
	refused  chan Refusal
	again    chan bool // true: at once
	accepted atomic.Int64
	note     atomic.Pointer[wire.Reply]

	flow   *flow
	queued *admission.Request
	place  inorder.Place[*Call] // of the message in the flow's order; its lock guards it and what follows
	lost   int                  // how often something that was sent later was answered before it
}

// Answer is what a workflow answered.
type Answer struct {
	Payload []byte // a serialized message of the rpc's output type
	reply   wire.Reply
}

// Ask stores the request, whose body is a serialized google.protobuf.Any, and waits for its answer: until ctx ends or
// the workflow's timeout is over, counted from when the request was stored. The error is a status for the caller. What
// has begun goes on when the caller goes away.
func (c *Call) Ask(ctx context.Context, body []byte) (Answer, error) {
	if limit := c.x.broker.MaxBody(); limit > 0 && len(body) > limit {
		return Answer{}, c.tooLarge(len(body), limit)
	}
	end := callerEnd(ctx, c.begun)
	within := c.rpc.Timeout
	if !end.IsZero() {
		within = min(within, time.Until(end))
	}
	if err := c.x.enter(c, within); err != nil {
		return Answer{}, err
	}
	defer c.x.left()
	c.answer = make(chan wire.Reply, 1)
	c.refused = make(chan Refusal, 1)
	c.again = make(chan bool, 1)
	c.x.waiting.put(c.ID, c)
	reply, err := c.wait(ctx, end, body)
	c.flow.forget(c)
	if c.x.waiting.take(c.ID) == nil && err != nil {
		reply, err = <-c.answer, nil // it came at the last moment
	}
	c.flow.leave(c, err)
	if err != nil {
		c.unanswered(err)
		if Reason(err) == ReasonWaitOver {
			err = c.explain(err)
		}
		return Answer{}, err
	}
	return c.read(reply)
}

// unanswered takes note of the end of a call that nobody answers any more. Where the entrypoint itself goes away, nobody could
// ask for it, and what is stored is handled all the same; what the broker has refused nobody handles.
func (c *Call) unanswered(err error) {
	if reason := Reason(err); !c.rpc.Finishes && reason != ReasonStopping && reason != ReasonQueueFull {
		c.x.ended.add(c.ID, time.Now())
	}
}

// wait sends the message until it is known to be stored, and returns the first answer.
func (c *Call) wait(ctx context.Context, end time.Time, body []byte) (wire.Reply, error) {
	resend := firstResend
	send := func() time.Time {
		if away := c.flow.away(); away != "" {
			c.refuse(Refusal{Away: true, Text: away})
			return time.Time{}
		}
		err := c.flow.send(c, func() error { return c.x.broker.Publish(c.rpc.Subject, c.message(body, end)) })
		if err != nil {
			return later(&resend, lastResend)
		}
		return time.Now().Add(wire.Patience(c.x.broker.Replicated()))
	}
	next := send()
	timer := time.NewTimer(time.Until(earlier(next, c.deadline(end))))
	defer timer.Stop()
	for {
		select {
		case reply := <-c.answer:
			return reply, nil
		case refusal := <-c.refused:
			if c.accepted.Load() == 0 { // else it is about a repetition
				return wire.Reply{}, c.notStored(refusal)
			}
		case now := <-c.again:
			if now {
				next = send()
			} else {
				next = later(&resend, lastResend)
			}
		case <-timer.C:
			if !time.Now().Before(c.deadline(end)) {
				return wire.Reply{}, c.waitOver(end)
			}
			if c.accepted.Load() == 0 {
				next = send()
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return wire.Reply{}, c.waitOver(end)
			}
			return wire.Reply{}, status.Error(codes.Canceled, "the caller went away")
		case <-c.x.over:
			return wire.Reply{}, c.sentAway()
		}
		if c.accepted.Load() != 0 {
			next = time.Time{}
		}
		timer.Reset(time.Until(earlier(next, c.deadline(end))))
	}
}

// keep remembers a note. That a node sent nothing says less than that another one failed.
func (c *Call) keep(note *wire.Reply) {
	last := c.note.Load()
	if last != nil && last.Kind == wire.AttemptFailed && note.Kind == wire.NothingSent && last.Sender != note.Sender {
		return
	}
	c.note.Store(note)
}

// sendAgain wakes the call up, whose message is not stored yet.
func (c *Call) sendAgain(now bool) {
	select {
	case c.again <- now:
	default:
	}
}

// refuse ends the wait of a call whose message is not stored.
func (c *Call) refuse(refusal Refusal) {
	select {
	case c.refused <- refusal:
	default:
	}
}

func (c *Call) message(body []byte, end time.Time) wire.Message {
	timeout := c.rpc.Timeout
	if !end.IsZero() {
		timeout = max(time.Millisecond, min(timeout, time.Until(end)))
	}
	return wire.Message{
		ID: c.ID, RequestID: c.ID, Sender: wire.SenderEntrypoint, ReplyTo: c.x.replyTo, Timeout: timeout,
		Label: c.caller.Label, Traceparent: c.caller.Traceparent, Tracestate: c.caller.Tracestate, Body: body,
	}
}

// deadline is when the wait is over. The workflow's timeout begins when the request is stored; until then it bounds how
// long that is tried.
func (c *Call) deadline(end time.Time) time.Time {
	from := c.begun
	if accepted := c.accepted.Load(); accepted != 0 {
		from = time.Unix(0, accepted)
	}
	return earlier(end, from.Add(c.rpc.Timeout))
}

// callerEnd is when the caller has to be answered, zero when it does not say. It comes a little before the caller's own
// deadline, so that the reason can still reach it.
func callerEnd(ctx context.Context, now time.Time) time.Time {
	deadline, set := ctx.Deadline()
	if !set {
		return time.Time{}
	}
	return deadline.Add(-min(50*time.Millisecond, deadline.Sub(now)/20))
}

// earlier returns the earlier time; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// later returns when to try next, with some chance in it, and doubles the delay for the time after that.
func later(delay *time.Duration, most time.Duration) time.Time {
	at := time.Now().Add(*delay*3/4 + rand.N(*delay/2))
	*delay = min(2**delay, most)
	return at
}

// read turns a reply into the answer or the error that it is.
func (c *Call) read(reply wire.Reply) (Answer, error) {
	if reply.Kind == wire.Error {
		return Answer{reply: reply}, c.nodeFailed(reply)
	}
	name, payload, err := envelope.Open(reply.Body)
	if err != nil {
		return Answer{reply: reply}, c.wrongAnswer(reply, err.Error())
	}
	if want := c.rpc.Output.FullName(); name != want {
		return Answer{reply: reply}, c.wrongType(reply, name, want)
	}
	return Answer{Payload: payload, reply: reply}, nil
}

// Unreadable is the error of an answer of the right type whose payload cannot be read.
func (c *Call) Unreadable(answer Answer, err error) error {
	return c.wrongAnswer(answer.reply, err.Error())
}

// Timing says where the time of an answered call went, if the caller asked for it; else it is empty.
func (c *Call) Timing(answer Answer) string {
	if !c.caller.Timing || answer.reply.RequestID == "" {
		return ""
	}
	return timing(answer.reply, c.begun, time.Now())
}

// End logs and counts the call, once, with the error that the caller is answered with.
func (c *Call) End(err error) {
	code := status.Code(err)
	c.x.observer.end(c, code, err)
	reason := Reason(err)
	refusals := c.flow.tally(reason, time.Now())
	entry := c.x.logger.Check(level(code, reason, refusals > 0), "call")
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, 8)
	fields = append(fields, zap.String("rpc", c.rpc.Name), log.Workflow(c.rpc.Workflow), zap.Stringer("code", code),
		log.RequestID(c.ID), zap.Float64("duration_ms", float64(time.Since(c.begun).Microseconds())/1000))
	if c.caller.Label != "" {
		fields = append(fields, zap.String("label", c.caller.Label))
	}
	if refusals > 1 {
		fields = append(fields, zap.Int("refused", refusals)) // with those before that were not logged
	}
	if err != nil && code != codes.InvalidArgument { // what is wrong with a payload may quote it
		fields = append(fields, zap.String(log.KeyError, status.Convert(err).Message()))
	}
	entry.Write(fields...)
}
