package engine

import (
	"context"
	"sync"
	"time"
)

// awaited is the context of a handler on whose outcome a caller waits: it ends with its parent, and at the deadline, when nobody
// waits any more, unless the caller has been answered by then.
type awaited struct {
	context.Context // its parent

	deadline time.Time
	answered func() bool
	done     chan struct{}

	mu  sync.Mutex
	err error
}

// await returns a context that ends at deadline; end releases what it holds.
func await(parent context.Context, deadline time.Time, answered func() bool) (ctx context.Context, end func()) {
	a := &awaited{Context: parent, deadline: deadline, answered: answered, done: make(chan struct{})}
	over := time.AfterFunc(time.Until(deadline), func() {
		if !answered() {
			a.end(context.DeadlineExceeded)
		}
	})
	forget := context.AfterFunc(parent, func() { a.end(parent.Err()) })
	return a, func() {
		over.Stop()
		forget()
		a.end(context.Canceled)
	}
}

func (a *awaited) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
		close(a.done)
	}
}

// Deadline implements context.Context: the caller who has been answered sets none.
func (a *awaited) Deadline() (time.Time, bool) {
	if a.answered() {
		return a.Context.Deadline()
	}
	return a.deadline, true
}

// Done implements context.Context.
func (a *awaited) Done() <-chan struct{} { return a.done }

// Err implements context.Context.
func (a *awaited) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
