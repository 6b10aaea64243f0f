package engine

import (
	"context"
	"time"
)

// figures are what a node tells of its work.
type figures struct {
	waiting int64         // messages that are stored for it and have not had their turn
	oldest  time.Duration // how long the oldest of them has been, in whole milliseconds
	expired uint64        // since the start
}

// some reports whether there is anything to tell.
func (f figures) some() bool { return f != figures{} }

func (e *engine) figures() (f figures) {
	if waits := e.waits.Load(); waits != nil {
		f = *waits
	}
	f.expired = e.expiry.total()
	return f
}

// loadEach is how often the broker is asked how much waits for a node, while something does.
const loadEach = time.Second

// keepFigures keeps up to date how much waits, until ctx ends.
func (e *engine) keepFigures(ctx context.Context) {
	ticker := time.NewTicker(loadEach)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		f := e.waiting(ctx)
		e.waits.Store(&f)
		e.observer.Waiting(f.waiting, f.oldest)
	}
}

// waiting looks how much waits for its turn. The broker is asked only where it may hold something back: while this process asks for
// more of each source, nothing waits elsewhere.
func (e *engine) waiting(ctx context.Context) (f figures) {
	held, oldest, more := e.pull.Waiting()
	f.waiting = int64(held)
	if more && e.conn.Connected() {
		for _, source := range e.node.Sources {
			seen, err := look(ctx, e.conn, e.clock, source)
			if err != nil || seen.pending == 0 {
				continue // the next look may tell
			}
			f.waiting += seen.pending
			if held == 0 { // else what this process holds is older
				oldest = earlier(oldest, e.storedAt(ctx, source.Stream, seen))
			}
		}
	}
	if !oldest.IsZero() {
		f.oldest = max(0, time.Since(e.clock.own(oldest)).Round(time.Millisecond))
	}
	return f
}

// storedAt returns when the first message was stored that a consumer has not delivered, or zero.
func (e *engine) storedAt(ctx context.Context, stream string, seen sight) time.Time {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	first, err := e.store.Next(ctx, stream, seen.filter, seen.next)
	if err != nil {
		return time.Time{}
	}
	return first.Stored
}

// earlier returns the earlier time; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
