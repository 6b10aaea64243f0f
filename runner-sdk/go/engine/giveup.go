package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// shortError is what is left of an error's text, in bytes, where a dead letter would else be too large.
const shortError = 128

// failure returns the body that tells of a failed run.
func (e *engine) failure(run *run, cause error, attempts int) ([]byte, error) {
	body, err := wire.Failure{
		Node: e.node.Name, Workflow: e.node.Workflow, RequestID: run.input.RequestID, MessageID: run.input.ID,
		Attempts: attempts, Code: exchange.CodeOf(cause), Text: cause.Error(),
	}.Body()
	if err != nil {
		return nil, fmt.Errorf("telling of a failed run: %w", err)
	}
	return body, nil
}

// giveUp ends a run that has failed for good: the error becomes its output, the message a dead letter, unless the mistake
// is the caller's, and the caller learns it, in this order, each confirmed before the next.
func (e *engine) giveUp(ctx context.Context, run *run, cause error) error {
	return e.giveUpAfter(ctx, run, cause, run.delivery.Attempts)
}

func (e *engine) giveUpAfter(ctx context.Context, run *run, cause error, attempts int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the attempt was cut short; it was none
	}
	if run.input.Kind != wire.OK {
		return e.answerError(ctx, run) // it is logged already
	}
	body, err := e.failure(run, cause, attempts)
	if err != nil {
		return err
	}
	succeeded, err := e.storeError(ctx, run, body)
	if err != nil {
		return err
	}
	if succeeded {
		e.logRun(logline.Info, run, "an earlier run of the message succeeded, so that this one's failure has no consequence", nil)
		return nil
	}
	e.finished.add(run, []exchange.Output{{Kind: wire.Error}})
	if exchange.CodeOf(cause) == 0 {
		letter := wire.DeadLetter{
			Error: cause.Error(), Attempts: attempts, FailedAt: time.Now(), InputSubject: run.delivery.Subject,
		}
		if err := e.putAside(ctx, run.id, run.delivery, letter); err != nil {
			return err
		}
		e.logRun(logline.Warn, run, "the message is given up and kept as a dead letter", nil)
	}
	if !e.node.OnPath || e.node.Heard {
		return nil // nobody waits for what comes of it, or the exitpoint gets the error, and decides
	}
	return e.answer(ctx, run, e.envelope(run, wire.Error, body, run.spent))
}

// answerError has the caller get the error that run's input is, where it reached the exitpoint and that had no answer to it.
func (e *engine) answerError(ctx context.Context, run *run) error {
	if run.input.Kind != wire.Error || !e.node.Exitpoint || run.answered {
		return nil
	}
	return e.answer(ctx, run, e.envelope(run, wire.Error, run.input.Body, run.spent))
}

// storeError stores a run's error as its only output. It reports whether an earlier run has stored something else.
func (e *engine) storeError(ctx context.Context, run *run, body []byte) (succeeded bool, err error) {
	if e.node.Output == nil {
		return false, nil
	}
	outcome, err := e.store.Save(ctx, e.only(run, wire.Item{Subject: e.node.Output.Error, Kind: wire.Error, Body: body}))
	if err != nil || !outcome.Duplicate {
		return false, err // only the end of the process leads here
	}
	stored, err := e.store.Read(ctx, e.node.Output.Stream, outcome.Sequence)
	if errors.Is(err, store.ErrGone) {
		// Its consumers have acknowledged it, so that nobody knows any more what it was. It is ours only if we had tried.
		return !outcome.Repeated, nil
	}
	return stored.Subject != e.node.Output.Error, err // as above
}

// putAside stores a dead letter.
func (e *engine) putAside(ctx context.Context, id string, d *pull.Delivery, letter wire.DeadLetter) error {
	save := func() error {
		_, err := e.store.Save(ctx, store.Record{
			Stream: e.node.DeadLetters.Stream, ID: id, Subject: e.node.DeadLetters.Subject, Header: letter.Header(d.Header), Body: d.Body,
		})
		return err // told below
	}
	err := save()
	if _, ok := errors.AsType[*store.TooLargeError](err); ok {
		// The message just fitted, and now it has more headers.
		letter.Error = letter.Error[:min(shortError, len(letter.Error))]
		err = save()
	}
	if _, ok := errors.AsType[*store.TooLargeError](err); ok {
		e.log.Write(logline.Record{Level: logline.Error, Message: "a message is lost: it is too large to be kept as a dead letter", Err: err.Error()})
		return nil
	}
	if err == nil {
		e.observer.DeadLetter()
	}
	return err
}

// putAsideUnread makes a dead letter of something that is no message: it has no id that a run's could be made of.
func (e *engine) putAsideUnread(ctx context.Context, d *pull.Delivery, cause error) error {
	e.log.Write(logline.Record{
		Level: logline.Error, Message: "what came on " + d.Subject + " cannot be read, and is kept as a dead letter", Err: cause.Error(),
	})
	return e.putAside(ctx, nuid.Next(), d, wire.DeadLetter{
		Error: cause.Error(), Attempts: 1, FailedAt: time.Now(), InputSubject: d.Subject,
	})
}
