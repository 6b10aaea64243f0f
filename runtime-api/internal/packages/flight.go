package packages

import (
	"context"
	"sync"
)

// flight does a bounded number of things at a time until one of them fails.
type flight struct {
	seats  chan struct{}
	cancel context.CancelCauseFunc
	wait   sync.WaitGroup
}

// newFlight also returns the context of what is done, which ends when something fails, with that as its cause.
func newFlight(ctx context.Context, seats int) (*flight, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &flight{seats: make(chan struct{}, seats), cancel: cancel}, ctx
}

// start begins something as soon as there is room for it. The error is why ctx has ended; then it was not begun.
func (f *flight) start(ctx context.Context, do func() error) error {
	select {
	case f.seats <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f.wait.Go(func() {
		defer func() { <-f.seats }()
		if err := do(); err != nil {
			f.cancel(err)
		}
	})
	return nil
}

// land waits for all that was begun and returns the first failure.
func (f *flight) land(ctx context.Context) error {
	f.wait.Wait()
	err := context.Cause(ctx)
	f.cancel(nil)
	return err
}
