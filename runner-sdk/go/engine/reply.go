package engine

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	replyEach = 500 * time.Millisecond // wait of one try
	deafFor   = 5 * time.Second        // "no responders" after which nobody will answer
)

var (
	errCallerGone = errors.New("the caller's wait is over")
	errDeaf       = errors.New("no entrypoint listens any more")
)

// envelope returns a reply as it is sent; spent is the time in the handler so far. Nil means that nobody waits.
func (e *engine) envelope(run *run, kind wire.Kind, body []byte, spent time.Duration) *nats.Msg {
	if run.input.ReplyTo == "" {
		return nil
	}
	header := wire.Reply{
		RequestID: run.input.RequestID, Sender: e.node.Name, Kind: kind,
		Timing: run.input.Timing.Append(e.node.Name, spent), SentAt: time.Now(),
	}.Header()
	return &nats.Msg{Subject: run.input.ReplyTo, Header: header, Data: body}
}

// answer sends a reply until it is confirmed, or until nobody waits for it any more. Its error is that of the process
// having to end.
func (e *engine) answer(ctx context.Context, run *run, msg *nats.Msg) error {
	if msg == nil {
		return nil
	}
	return e.answered(ctx, run, msg, e.conn.Ask(msg))
}

// answered is answer of a reply that has been sent once.
func (e *engine) answered(ctx context.Context, run *run, msg *nats.Msg, first *broker.Answer) error {
	err := e.repeat(ctx, msg, first, run.deadline())
	if errors.Is(err, errCallerGone) || errors.Is(err, errDeaf) {
		e.logRun(logline.Warn, run, "the reply ("+msg.Header.Get(wire.HeaderKind)+") is unanswered", err)
		return nil
	}
	return err
}

func (e *engine) repeat(ctx context.Context, msg *nats.Msg, answer *broker.Answer, deadline time.Time) error {
	var deafSince time.Time
	for ; ; answer = e.conn.Ask(msg) {
		began := time.Now()
		_, err := answer.Wait(ctx, replyEach)
		now := time.Now()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, broker.ErrNoResponders) && e.ending.Load():
			return errDrained // the entrypoints went first: whoever handles the message again answers it
		case !errors.Is(err, broker.ErrNoResponders) || !e.conn.Connected():
			deafSince = time.Time{}
		case deafSince.IsZero():
			deafSince = began
		case now.Sub(deafSince) >= deafFor:
			return errDeaf
		}
		if !now.Before(deadline) {
			return errCallerGone
		}
		if errors.Is(err, broker.ErrLost) || errors.Is(err, broker.ErrAway) {
			e.conn.Up(ctx)
			continue
		}
		select {
		case <-time.After(replyEach - now.Sub(began)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// early is an early message on its way to the caller.
type early struct {
	done chan struct{}
	err  error // once done is closed: the process had to end before it was confirmed
}

// answerEarly begins to send an early message to the caller, while its handler goes on.
func (e *engine) answerEarly(ctx context.Context, run *run, o exchange.Output) {
	msg := e.envelope(run, o.Kind, o.Body, time.Since(run.began))
	if msg == nil {
		return
	}
	m := &early{done: make(chan struct{})}
	run.early = append(run.early, m)
	first := e.conn.Ask(msg) // at once, so that no later answer overtakes it
	e.pending.Go(func() {
		m.err = e.answered(ctx, run, msg, first)
		close(m.done)
	})
}

// note tells the entrypoint of something that answers nobody. It may get lost.
func (e *engine) note(run *run, kind wire.Kind, body []byte) {
	if msg := e.envelope(run, kind, body, run.spent); msg != nil {
		_ = e.conn.Publish(msg)
	}
}
