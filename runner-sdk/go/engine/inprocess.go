package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
)

// InProcess are hands that run handlers in this process, one at a time, in a goroutine that is not the engine's own:
// a handler may end it (runtime.Goexit) or not come back.
type InProcess struct {
	init   func(context.Context) error
	handle func(context.Context, *exchange.Exchange) error

	jobs    chan func() error
	results chan error
}

// NewInProcess returns hands that call init, and then handle for each attempt, with a context that ends when handle has returned.
func NewInProcess(init func(context.Context) error, handle func(context.Context, *exchange.Exchange) error) *InProcess {
	h := &InProcess{init: init, handle: handle, jobs: make(chan func() error)}
	h.grow()
	return h
}

// Open implements Hands.
func (h *InProcess) Open(ctx context.Context, _ int, _ Events) error { return h.call(ctx, h.init) }

// Begin implements Hands: it returns when the handler has.
func (h *InProcess) Begin(a *Attempt) {
	a.Began()
	err := h.call(a.Context, func(ctx context.Context) error {
		ctx, end := await(ctx, a.Deadline, a.Exchange.Early)
		defer end()
		return h.handle(ctx, a.Exchange)
	})
	a.Ended(Ending{Err: err, Stack: stackOf(err)})
}

// Room implements Hands.
func (h *InProcess) Room() int { return 1 }

// Stop implements Hands.
func (h *InProcess) Stop() {}

// Close lets the goroutine end when what it runs has returned.
func (h *InProcess) Close() { close(h.jobs) }

func (h *InProcess) grow() {
	h.results = make(chan error, 1) // room for one: a handler that comes back too late ends
	go serve(h.jobs, h.results)
}

func serve(jobs <-chan func() error, results chan<- error) {
	for job := range jobs {
		func() {
			err := errGoexit
			defer func() {
				if p := recover(); p != nil {
					err = &panicked{value: p, stack: debug.Stack()}
				}
				results <- err
			}()
			err = job()
		}()
	}
}

// call runs f and returns its error, or one that tells of a panic. The end of ctx is a cue for f to return; if it does
// not, it is left behind, and the hands are of no more use.
func (h *InProcess) call(ctx context.Context, f func(context.Context) error) error {
	h.jobs <- func() error { return f(ctx) }
	select {
	case err := <-h.results:
		if errors.Is(err, errGoexit) {
			h.grow()
		}
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-h.results:
		return err
	case <-time.After(giveUpFor):
		return context.Cause(ctx)
	}
}

var errGoexit = errors.New("the handler ended its goroutine (runtime.Goexit)")

type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// Unwrap lets a panic with an error be asked like that error.
func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// stackOf returns where a panic happened, or nothing for other errors.
func stackOf(err error) string {
	if p, ok := errors.AsType[*panicked](err); ok {
		return string(p.stack)
	}
	return ""
}
