package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// work handles one message after the other until the process is told to end. Hard ends when it can no longer wait.
func (r *Runner) work(told, hard context.Context) {
	for {
		select {
		case r.slots <- struct{}{}:
		case <-told.Done():
			return
		}
		d := r.pull.Next(told)
		if d == nil {
			return
		}
		if !r.take(told, hard, d) {
			<-r.slots
		}
	}
}

// take handles d. It reports whether something goes on behind it, which then frees its slot.
func (r *Runner) take(told, hard context.Context, d *pull.Delivery) bool {
	d.Attempts++
	run, err := r.open(d)
	if err != nil {
		r.pull.Returned(d, 0)
		r.behind(d, func() error { return r.putAsideUnread(hard, d, err) })
		return true
	}
	if d.Delivered >= suspicious {
		r.alone(told, hard, run)
		return false
	}
	result := r.attempt(hard, run)
	switch {
	case result.Err == nil:
		finish := r.succeed(hard, run, result)
		r.behind(d, finish)
		return true
	case r.exhausted(run, result.Err):
		r.behind(d, func() error { return r.giveUp(hard, run, result.Err) })
		return true
	default:
		r.pull.Postpone(d, retryAfter(d.Attempts))
		return false
	}
}

// attempt runs the handler once. A failed attempt is logged and told to the entrypoint.
func (r *Runner) attempt(hard context.Context, run *run) exchange.Result {
	x := &exchange.Exchange{
		Input: run.input, Attempt: run.delivery.Attempts, MaxBody: r.maxBody,
		Tell: func(o exchange.Output) { r.answerEarly(hard, run, o) },
	}
	run.began = time.Now()
	r.slow.begin(run)
	err := r.hand.call(hard, func(ctx context.Context) error { return r.handle(ctx, x) })
	r.slow.end()
	result := x.Return(err)
	run.spent = time.Since(run.began)
	r.pull.Returned(run.delivery, run.spent)
	if result.Err == nil || hard.Err() != nil {
		return result
	}
	r.logRun(logline.Error, run, fmt.Sprintf("attempt %d of %d failed", run.delivery.Attempts, r.attempts(run)), result.Err)
	if body, err := r.failure(run, result.Err, run.delivery.Attempts); err == nil {
		r.note(run, wire.AttemptFailed, body)
	}
	return result
}

// attempts is how often a message may be tried.
func (r *Runner) attempts(run *run) int {
	if run.input.Kind != wire.OK {
		return 1
	}
	return r.node.MaxAttempts
}

func (r *Runner) exhausted(run *run, err error) bool {
	return run.delivery.Attempts >= r.attempts(run) || exchange.IsFinal(err)
}

func retryAfter(attempts int) time.Duration {
	wait := firstRetry
	for range attempts - 1 {
		if wait *= 2; wait >= lastRetry {
			return lastRetry
		}
	}
	return wait
}

// behind runs finish while other messages are handled, and then lets go of d: acknowledged, or given back when finish
// could not come to its end.
func (r *Runner) behind(d *pull.Delivery, finish func() error) {
	r.pending.Go(func() {
		defer func() { <-r.slots }()
		r.letGo(d, finish())
	})
}

func (r *Runner) letGo(d *pull.Delivery, err error) {
	if err != nil {
		r.pull.GiveBack(d)
		return
	}
	r.pull.Acknowledge(d)
}
