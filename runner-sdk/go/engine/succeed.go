package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// succeed begins to store what an attempt sent, so that runs are stored in the order in which they were handled, and
// returns what is left to do before the input can be acknowledged.
func (e *engine) succeed(ctx context.Context, run *run, result exchange.Result) func() error {
	if result.Dropped {
		return func() error { return nil }
	}
	outputs := result.Outputs
	if result.Forward {
		outputs = []exchange.Output{{Kind: wire.Error, Body: run.input.Body}}
	}
	run.answered = run.answered || slices.ContainsFunc(outputs, e.isAnswer)
	e.finished.add(run, outputs)
	items := e.items(outputs)
	save := e.storing(run, items)
	return func() error {
		err := save(ctx)
		if tooLarge, ok := errors.AsType[*store.TooLargeError](err); ok {
			return e.giveUp(ctx, run, exchange.Final(tooLarge))
		}
		if err != nil {
			return err // only the end of the process leads here
		}
		answered, err := e.answerCaller(ctx, run, outputs)
		if err != nil || answered || result.Early {
			return err
		}
		if len(items) == 0 && run.input.Kind != wire.Error {
			e.note(run, wire.NothingSent, nil)
		}
		return e.answerError(ctx, run)
	}
}

// isAnswer reports whether the caller is sent an output.
func (e *engine) isAnswer(o exchange.Output) bool {
	return e.node.Exitpoint && (o.Kind == wire.OK && o.Channel == "" || o.Kind == wire.Error)
}

// answerCaller sends the caller what the exitpoint has for it, and waits for the early messages on their way to it.
func (e *engine) answerCaller(ctx context.Context, run *run, outputs []exchange.Output) (answered bool, err error) {
	for _, o := range outputs {
		if !e.isAnswer(o) {
			continue
		}
		if err := e.answer(ctx, run, e.envelope(run, o.Kind, o.Body, run.spent)); err != nil {
			return answered, err
		}
		answered = true
	}
	for _, m := range run.early {
		<-m.done
		if m.err != nil {
			return answered, m.err
		}
	}
	return answered, nil
}
