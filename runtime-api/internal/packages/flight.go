package packages

import (
	"context"
	"io"
	"sync"
	"time"
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

// start begins something as soon as there is room for it, with a context that outlives ctx a little. The error is why ctx
// has ended; then it was not begun.
func (f *flight) start(ctx context.Context, do func(context.Context) error) error {
	select {
	case f.seats <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f.wait.Go(func() {
		defer func() { <-f.seats }()
		patient, done := outlive(ctx)
		defer done()
		if err := do(patient); err != nil {
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

// answering is how long the answer to a request is waited for that nobody needs any more. A request that is given up may
// still be done by the store, after what it has stored was looked for to be removed.
const answering = 10 * time.Second

// outlive returns a context that ends a while after ctx does.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(answering):
			cancel(context.Cause(ctx))
		case <-patient.Done():
		}
	})
	return patient, func() {
		stop()
		cancel(nil)
	}
}

// until reads as long as ctx has not ended.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
