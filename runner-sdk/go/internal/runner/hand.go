package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// hand is the goroutine that handlers run in, one at a time. It is not the worker's own, because a handler may end it
// (runtime.Goexit) or not come back.
type hand struct {
	jobs    chan func() error
	results chan error
}

func newHand() *hand {
	h := &hand{jobs: make(chan func() error)}
	h.grow()
	return h
}

func (h *hand) grow() {
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
// not, it is left behind, and the hand is of no more use.
func (h *hand) call(ctx context.Context, f func(context.Context) error) error {
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

// end lets the goroutine end when what it runs has returned.
func (h *hand) end() { close(h.jobs) }

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
