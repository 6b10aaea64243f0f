package engine

import (
	"context"
	"sync"
	"time"
)

// awaited is the context of a handler on whose outcome a caller waits: it ends with its parent, and at the deadline, when nobody
// waits any more, unless the caller has been answered by then. Most handlers never look at it, so that it watches the time only
// once somebody waits for its end.
type awaited struct {
	context.Context // its parent

	deadline time.Time
	answered func() bool

	mu   sync.Mutex
	err  error
	done chan struct{} // nil: nobody has asked for it
	stop func()        // stops watching
}

// await returns a context that ends at deadline, unless that is zero, and when end is called.
func await(parent context.Context, deadline time.Time, answered func() bool) (ctx context.Context, end func()) {
	if deadline.IsZero() {
		return context.WithCancel(parent)
	}
	a := &awaited{Context: parent, deadline: deadline, answered: answered, stop: func() {}}
	return a, func() {
		a.look()
		a.end(context.Canceled)
	}
}

// end ends it, unless it has ended.
func (a *awaited) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil || err == nil {
		return
	}
	a.err = err
	a.stop()
	if a.done != nil {
		close(a.done)
	}
}

// look ends it if its time has come.
func (a *awaited) look() {
	a.end(a.Context.Err())
	if !time.Now().Before(a.deadline) && !a.answered() {
		a.end(context.DeadlineExceeded)
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
func (a *awaited) Done() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done != nil {
		return a.done
	}
	a.done = make(chan struct{})
	if a.err != nil {
		close(a.done)
		return a.done
	}
	over := time.AfterFunc(time.Until(a.deadline), a.look)
	forget := context.AfterFunc(a.Context, a.look)
	a.stop = func() {
		over.Stop()
		forget()
	}
	return a.done
}

// Err implements context.Context.
func (a *awaited) Err() error {
	a.look()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
