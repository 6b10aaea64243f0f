package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// shortError is what is left of an error's text, in bytes, where a dead letter would else be too large.
const shortError = 128

// failure returns the body that tells of a failed run.
func (r *Runner) failure(run *run, cause error, attempts int) ([]byte, error) {
	body, err := wire.Failure{
		Node: r.node.Name, Workflow: r.node.Workflow, RequestID: run.input.RequestID, MessageID: run.input.ID,
		Attempts: attempts, Text: cause.Error(),
	}.Body()
	if err != nil {
		return nil, fmt.Errorf("telling of a failed run: %w", err)
	}
	return body, nil
}

// giveUp ends a run that has failed for good: the error becomes its output, the message a dead letter, and the caller
// learns it, in this order, each confirmed before the next.
func (r *Runner) giveUp(ctx context.Context, run *run, cause error) error {
	return r.giveUpAfter(ctx, run, cause, run.delivery.Attempts)
}

func (r *Runner) giveUpAfter(ctx context.Context, run *run, cause error, attempts int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the attempt was cut short; it was none
	}
	if run.input.Kind != wire.OK {
		return nil // an error or an early message: logged already, and that is all
	}
	body, err := r.failure(run, cause, attempts)
	if err != nil {
		return err
	}
	succeeded, err := r.storeError(ctx, run, body)
	if err != nil {
		return err
	}
	if succeeded {
		r.logRun(logline.Info, run, "an earlier run of the message succeeded, so that this one's failure has no consequence", nil)
		return nil
	}
	letter := wire.DeadLetter{
		Error: cause.Error(), Attempts: attempts, FailedAt: time.Now(), InputSubject: run.delivery.Subject,
	}
	if err := r.putAside(ctx, run.id, run.delivery, letter); err != nil {
		return err
	}
	r.logRun(logline.Warn, run, "the message is given up and kept as a dead letter", nil)
	if !r.node.OnPath {
		return nil
	}
	return r.answer(ctx, run, r.envelope(run, wire.Error, body, run.spent))
}

// storeError stores a run's error as its only output. It reports whether an earlier run has stored something else.
func (r *Runner) storeError(ctx context.Context, run *run, body []byte) (succeeded bool, err error) {
	if r.node.Output == nil {
		return false, nil
	}
	m := r.output(run, 0, exchange.Output{Kind: wire.Error, Body: body})
	outcome, err := r.store.Save(ctx, run.id, store.Record{Subject: r.node.Output.Error, Header: m.Header(), Body: body})
	if err != nil || !outcome.Duplicate {
		return false, err // only the end of the process leads here
	}
	stored, err := r.store.Read(ctx, r.node.Output.Stream, outcome.Sequence)
	if errors.Is(err, store.ErrGone) {
		// Its consumers have acknowledged it, so that nobody knows any more what it was. It is ours only if we had tried.
		return !outcome.Repeated, nil
	}
	return stored.Subject != r.node.Output.Error, err // as above
}

// putAside stores a dead letter.
func (r *Runner) putAside(ctx context.Context, id string, d *pull.Delivery, letter wire.DeadLetter) error {
	save := func() error {
		_, err := r.store.Save(ctx, id, store.Record{
			Subject: r.node.DeadLetters.Subject, Header: letter.Header(d.Header), Body: d.Body,
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
		r.log.Write(logline.Record{Level: logline.Error, Message: "a message is lost: it is too large to be kept as a dead letter", Err: err.Error()})
		return nil
	}
	return err
}

// putAsideUnread makes a dead letter of something that is no message: it has no id that a run's could be made of.
func (r *Runner) putAsideUnread(ctx context.Context, d *pull.Delivery, cause error) error {
	r.log.Write(logline.Record{
		Level: logline.Error, Message: "what came on " + d.Subject + " cannot be read, and is kept as a dead letter", Err: cause.Error(),
	})
	return r.putAside(ctx, nuid.Next(), d, wire.DeadLetter{
		Error: cause.Error(), Attempts: 1, FailedAt: time.Now(), InputSubject: d.Subject,
	})
}
