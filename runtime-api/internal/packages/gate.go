package packages

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/konstellation-io/kre/kit/budget"
)

// What holds of uploads where Options say nothing. An upload that goes on may hold 25 MiB; one that waits holds what its
// caller may send ahead, 64 KiB.
const (
	defaultUploads    = 4
	defaultWaiting    = 64
	defaultPatience   = time.Minute
	defaultStandstill = 20 * time.Second
	// moving is how many bytes in the time of a standstill are none.
	moving = 64 << 10
	// comeBack is what those are told to wait that cannot be taken.
	comeBack = 5 * time.Second
)

// gate lets so many uploads go on at a time, in the order in which they come. So many others wait; who comes then, or has
// waited for too long, is told to come back. While somebody waits, an upload whose content stands still is ended: a few
// callers who send nothing do not keep out all others.
type gate struct {
	seats      chan struct{}
	waiting    atomic.Int64
	most       int64 // that wait
	patience   time.Duration
	standstill time.Duration
}

func newGate(opts Options) *gate {
	g := &gate{most: int64(opts.Waiting), patience: opts.Patience, standstill: opts.Standstill}
	if opts.Uploads == 0 {
		opts.Uploads = defaultUploads
	}
	if g.most == 0 {
		g.most = defaultWaiting
	}
	if g.patience == 0 {
		g.patience = defaultPatience
	}
	if g.standstill == 0 {
		g.standstill = defaultStandstill
	}
	g.seats = make(chan struct{}, opts.Uploads)
	return g
}

// enter waits for a seat, which is given back by leave.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.seats <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.most {
		return busy("%d packages are being uploaded to this runtime and %d wait, as many as may", cap(g.seats), g.most)
	}
	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	select {
	case g.seats <- struct{}{}:
		return nil
	case <-patience.C:
		return busy("%d packages are being uploaded to this runtime, as many as may, and none has ended in %s", cap(g.seats), g.patience)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) leave() { <-g.seats }

func busy(format string, args ...any) error {
	wrong := budget.Busy(format+"; send the package again in a moment", args...)
	wrong.RetryAfter = comeBack
	return wrong
}

// arrival is content that comes from a caller.
type arrival struct {
	gate    *gate
	pieces  chan piece
	free    chan []byte
	rest    piece
	used    []byte
	ctx     context.Context //nolint:containedctx // lives no longer than the upload it is of
	bytes   atomic.Int64
	waiting atomic.Bool // for content
}

type piece struct {
	content []byte
	err     error
}

const pieceSize = 64 << 10

// arriving reads content until ctx ends, and ends the context that it returns when content stands still while others wait.
// A read of content may go on when ctx has ended, until content ends or fails. done ends it.
func (g *gate) arriving(ctx context.Context, content io.Reader) (_ context.Context, _ io.Reader, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &arrival{gate: g, ctx: ctx, pieces: make(chan piece), free: make(chan []byte, 2)}
	for range cap(a.free) {
		a.free <- make([]byte, pieceSize)
	}
	go a.pump(content)
	go a.watch(cancel)
	return ctx, a, func() { cancel(nil) }
}

func (a *arrival) pump(content io.Reader) {
	for {
		var buffer []byte
		select {
		case buffer = <-a.free:
		case <-a.ctx.Done():
			return
		}
		n, err := content.Read(buffer)
		select {
		case a.pieces <- piece{buffer[:n], err}:
		case <-a.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *arrival) watch(end context.CancelCauseFunc) {
	tick := time.NewTicker(a.gate.standstill)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-tick.C:
		case <-a.ctx.Done():
			return
		}
		now := a.bytes.Load()
		if now-before < moving && a.waiting.Load() && a.gate.waiting.Load() > 0 {
			end(busy("the package has stood still for %s while others wait", a.gate.standstill))
			return
		}
		before = now
	}
}

// Read gives what has arrived.
func (a *arrival) Read(into []byte) (int, error) {
	for len(a.rest.content) == 0 {
		if a.rest.err != nil {
			return 0, a.rest.err
		}
		if a.used != nil {
			a.free <- a.used[:cap(a.used)]
			a.used = nil
		}
		a.waiting.Store(true)
		select {
		case a.rest = <-a.pieces:
			a.waiting.Store(false)
			a.used = a.rest.content
			a.bytes.Add(int64(len(a.used)))
		case <-a.ctx.Done():
			return 0, context.Cause(a.ctx)
		}
	}
	n := copy(into, a.rest.content)
	a.rest.content = a.rest.content[n:]
	return n, nil
}
