package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// work begins one message after the other, as many as the hands have room for, until the process is told to end. Hard
// ends when it can no longer wait.
func (e *engine) work(told, hard context.Context) {
	for {
		if !e.under.below(told, e.hands.Room) {
			return
		}
		select {
		case e.slots <- struct{}{}:
		case <-told.Done():
			return
		}
		d := e.pull.Next(told)
		if d == nil {
			return
		}
		e.take(told, hard, d)
	}
}

// take begins d, which holds a slot: whatever d comes to frees it.
func (e *engine) take(told, hard context.Context, d *pull.Delivery) {
	run, err := e.open(d)
	switch {
	case err != nil:
		e.pull.Returned(d, 0)
		e.behind(d, func() error { return e.putAsideUnread(hard, d, err) })
	case d.Delivered >= suspicious || e.suspects.has(run.input.ID):
		e.alone(told, hard, run)
		e.free()
	case e.late(run):
		e.expire(hard, run)
	default:
		e.begin(hard, run, func(result exchange.Result, fate Fate) { e.follow(hard, run, result, fate) })
	}
}

// follow does what follows an attempt.
func (e *engine) follow(hard context.Context, run *run, result exchange.Result, fate Fate) {
	d := run.delivery
	switch {
	case fate == NotBegun && e.late(run):
		d.Attempts-- // it was none
		e.expire(hard, run)
	case fate == NotBegun || fate == Died && hard.Err() != nil:
		e.pull.GiveBack(d)
		e.free()
	case fate == Died:
		e.behind(d, func() error { return e.died(hard, run) })
	case result.Err == nil:
		e.behind(d, e.succeed(hard, run, result))
	case e.exhausted(run, result.Err):
		e.behind(d, func() error { return e.giveUp(hard, run, result.Err) })
	default:
		e.pull.Postpone(d, retryAfter(d.Attempts))
		e.free()
	}
}

func (e *engine) free() { <-e.slots }

// begin begins an attempt. Then is called when it has ended, in the order in which attempts end, and must not wait.
func (e *engine) begin(hard context.Context, run *run, then func(exchange.Result, Fate)) {
	run.delivery.Attempts++
	x := &exchange.Exchange{
		Input: run.input, Attempt: run.delivery.Attempts, MaxBody: e.maxBody,
		Tell: func(o exchange.Output) { e.answerEarly(hard, run, o) },
	}
	e.under.add(1)
	e.hands.Begin(&Attempt{
		Exchange: x, Context: hard, Deadline: e.awaited(run), Expires: e.expires(run),
		Began: func() {
			run.began = time.Now()
			e.watcher.begin(run)
		},
		Ended: func(end Ending) {
			e.watcher.end(run)
			result := x.Return(end.Err)
			if result.Early {
				run.answered, run.delivery.Answered = true, true
			}
			if end.Fate == Returned {
				e.returned(hard, run, end, result.Err)
			}
			then(result, end.Fate)
			e.under.add(-1)
		},
	})
}

// returned takes note of the end of a handler. A failed attempt is logged and told to the entrypoint.
func (e *engine) returned(hard context.Context, run *run, end Ending, failure error) {
	run.spent = end.Spent
	if run.spent == 0 {
		run.spent = time.Since(run.began)
	}
	e.pull.Returned(run.delivery, run.spent)
	run.delivery.Failure, run.delivery.Asked = failure, false
	e.observer.Attempt(run.spent, failure != nil)
	if failure == nil || hard.Err() != nil {
		return
	}
	record := e.record(run, logline.Error, fmt.Sprintf("attempt %d of %d failed", run.delivery.Attempts, e.attempts(run)))
	if exchange.CodeOf(failure) != 0 {
		record.Level, record.Message = logline.Info, "the handler refuses the message: the mistake is the caller's"
	}
	record.Err, record.Where, record.Stack = strings.TrimSpace(failure.Error()), end.Where, end.Stack
	e.log.Write(record)
	if body, err := e.failure(run, failure, run.delivery.Attempts); err == nil {
		e.note(run, wire.AttemptFailed, body)
	}
}

// attempt makes an attempt and waits for its end.
func (e *engine) attempt(hard context.Context, run *run) (exchange.Result, Fate) {
	type end struct {
		result exchange.Result
		fate   Fate
	}
	ended := make(chan end, 1) // room for the one there is
	e.begin(hard, run, func(result exchange.Result, fate Fate) { ended <- end{result, fate} })
	one := <-ended
	return one.result, one.fate
}

// attempts is how often a message may be tried.
func (e *engine) attempts(run *run) int {
	if run.input.Kind != wire.OK {
		return 1
	}
	return e.node.MaxAttempts
}

func (e *engine) exhausted(run *run, err error) bool {
	return run.delivery.Attempts >= e.attempts(run) || exchange.IsFinal(err)
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

// behind runs finish while other messages are handled, and then lets go of d, and of its slot: acknowledged, or given back
// when finish could not come to its end.
func (e *engine) behind(d *pull.Delivery, finish func() error) {
	e.pending.Go(func() {
		defer e.free()
		if err := finish(); err != nil {
			e.pull.GiveBack(d)
			return
		}
		e.pull.AcknowledgeSoon(d)
	})
}

func (e *engine) letGo(d *pull.Delivery, err error) {
	if err != nil {
		e.pull.GiveBack(d)
		return
	}
	e.pull.Acknowledge(d)
}

// errGivenBack says that a message is left to whoever takes it next.
var errGivenBack = errors.New("the message is given back")
