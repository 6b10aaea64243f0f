// Package engine delivers: it takes messages from a node's sources, has them handled, and stores what the handler sent
// before it acknowledges them, as runner-sdk/spec/protocol.md says. What runs the handlers it does not know: a Go node's
// process, or the worker of a runner. It is for those two; authors of nodes use package kre, and nothing here is promised
// to stay as it is.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
)

const (
	drainFor   = 25 * time.Second // what a terminating process may take to finish
	giveUpFor  = time.Second      // what is left after that to say so
	maxPending = 256              // runs that wait for confirmations
	headerRoom = 4096             // bytes of the broker's limit that are kept for headers
)

// Options say what to run.
type Options struct {
	Process config.Process
	Log     *logline.Log
	Hands   Hands
	// DrainFor is how long a terminating process may take to finish; 0 is 25 s.
	DrainFor time.Duration
	Observer Observer // nil: nobody
}

// engine is a node that runs.
type engine struct {
	node    config.Node
	log     *logline.Log
	hands   Hands
	conn    *broker.Conn
	store   *store.Store
	pull    *pull.Puller
	boxes   *unpacker // nil: nobody subscribes to the node
	watcher *watcher
	ready   readiness

	clock  *clock
	expiry *expiry
	waits  atomic.Pointer[figures] // without what expired

	finished *finished

	maxBody  int
	slots    chan struct{} // one for each run whose attempt is under way or that waits for confirmations
	under    *underWay
	pending  *crew       // what waits for confirmations
	ending   atomic.Bool // no messages are taken any more
	unheard  sync.Map    // channels nobody listens to that were sent to
	suspects suspects
	lost     chan error // has what ends the node by itself
	observer Observer   // never nil
}

// Run runs a node until ctx ends, and then finishes what it has begun. An error means that it could not run.
func Run(ctx context.Context, o Options) error {
	process := o.Process
	conn, err := broker.Open(ctx, broker.Options{
		URL: process.URL, Credentials: process.Credentials, Inbox: process.Node.Inbox, Log: o.Log,
		Name: process.Node.Version + "/" + process.Node.Workflow + "/" + process.Node.ID,
	})
	if err != nil {
		return ifNotToldToEnd(ctx, err)
	}
	defer conn.Close()
	clock := &clock{}
	replicated, err := bind(ctx, conn, o.Log, clock, process.Node.Bound())
	if err != nil {
		return ifNotToldToEnd(ctx, err)
	}
	consumers := make([]pull.Consumer, 0, len(process.Node.Sources))
	for _, source := range process.Node.Sources {
		consumers = append(consumers, pull.Consumer{Stream: source.Stream, Name: source.Consumer})
	}
	e := &engine{
		node: process.Node, log: o.Log, hands: o.Hands, conn: conn,
		store:   store.New(conn, o.Log),
		pull:    pull.New(conn, o.Log, consumers),
		ready:   readiness{file: process.ReadyFile, log: o.Log},
		clock:   clock,
		expiry:  newExpiry(conn, o.Log, orNobody(o.Observer)),
		maxBody: conn.Limit() - headerRoom,
		slots:   make(chan struct{}, maxPending),
		under:   newUnderWay(),
		pending: newCrew(),
		lost:    make(chan error, 1), // the first counts
	}
	e.observer = orNobody(o.Observer)
	e.finished = newFinished(process.Node.Output)
	e.watcher = newWatcher(e)
	if replicated {
		e.store.Replicated()
	}
	if process.Node.Parcels != nil {
		e.boxes = newUnpacker(e)
	}
	defer e.pending.End()
	defer o.Hands.Close()
	if err := o.Hands.Open(ctx, e.maxBody, e); err != nil {
		if stack := stackOf(err); stack != "" {
			o.Log.Write(logline.Record{Level: logline.Error, Message: "init ended badly", Err: err.Error(), Stack: stack})
		}
		return ifNotToldToEnd(ctx, fmt.Errorf("init: %w", err))
	}
	if o.DrainFor == 0 {
		o.DrainFor = drainFor
	}
	return e.run(ctx, o.DrainFor)
}

func ifNotToldToEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // whatever went wrong, ending is what was asked for
	}
	return err
}

func (e *engine) run(ctx context.Context, drainFor time.Duration) error {
	// The hard context ends when the process can no longer wait for what it has begun.
	hard, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { e.store.Keep(hard) })
	if e.boxes != nil {
		if err := e.boxes.start(hard, &helpers); err != nil {
			return err
		}
	}
	if err := e.beAsked(); err != nil {
		return err
	}
	if err := e.pull.Start(); err != nil {
		return fmt.Errorf("asking for messages: %w", err)
	}
	helpers.Go(func() { e.pull.Keep(hard) })
	helpers.Go(func() { e.watcher.watch(hard) })
	helpers.Go(func() { e.watch(ctx) })
	helpers.Go(func() { e.keepFigures(hard) })
	worked := make(chan struct{})
	told, tell := context.WithCancel(ctx)
	defer tell()
	go func() {
		e.work(told, hard)
		close(worked)
	}()
	e.ready.begin()
	var err error
	select {
	case <-ctx.Done():
	case err = <-e.lost:
	}
	tell()
	e.ready.end()
	e.drain(worked, stop, drainFor)
	stop(nil)
	helpers.Wait()
	return err
}

// Down implements Events: what was not begun is left to others.
func (e *engine) Down(reason string) {
	e.ready.goDown()
	e.pull.Pause()
	e.watcher.down(reason)
}

// Up implements Events.
func (e *engine) Up() {
	e.watcher.down("")
	e.pull.Resume()
	e.ready.comeUp()
}

// Lost implements Events.
func (e *engine) Lost(err error) {
	select {
	case e.lost <- err:
	default: // the node ends already
	}
}

var errDrained = errors.New("the process ends")

// drain stops taking messages and finishes what was begun; past its time it gives that back.
func (e *engine) drain(worked <-chan struct{}, stop context.CancelCauseFunc, drainFor time.Duration) {
	e.ending.Store(true)
	e.pull.Stop()
	finished := make(chan struct{})
	go func() {
		<-worked
		e.hands.Stop()
		e.under.none(context.Background())
		e.pending.Wait()
		if e.boxes != nil {
			e.boxes.drain()
		}
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(drainFor):
		e.log.Printf(logline.Warn, "the process has to end before everything it began is finished: %d messages are given back", e.pull.Held())
		stop(errDrained)
		select {
		case <-finished:
		case <-time.After(giveUpFor):
		}
		for _, pull := range e.pullers() {
			pull.GiveBackAll()
		}
	}
	flush, cancel := context.WithTimeout(context.Background(), giveUpFor)
	defer cancel()
	for _, pull := range e.pullers() {
		pull.Drained(flush)
	}
	_ = e.conn.Flush(flush) // unsent, the broker finds out by itself
}

// pullers are those of messages and of parcels.
func (e *engine) pullers() []*pull.Puller {
	if e.boxes == nil {
		return []*pull.Puller{e.pull}
	}
	return []*pull.Puller{e.pull, e.boxes.pull}
}

// readiness is the file that says that the node is ready: from begin to end, while the hands are not down.
type readiness struct {
	file string
	log  *logline.Log

	mu    sync.Mutex
	begun bool
	down  bool
	ended bool
}

func (r *readiness) begin() { r.set(func() { r.begun = true }) }

func (r *readiness) goDown() { r.set(func() { r.down = true }) }

func (r *readiness) comeUp() { r.set(func() { r.down = false }) }

func (r *readiness) end() { r.set(func() { r.ended = true }) }

// set makes or removes the file after a change.
func (r *readiness) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	if r.file == "" {
		return
	}
	if !r.begun || r.down || r.ended {
		_ = os.Remove(r.file) // gone already is as well
		return
	}
	if err := os.WriteFile(r.file, nil, 0o600); err != nil {
		r.log.Write(logline.Record{Level: logline.Error, Message: "the ready file cannot be written", Err: err.Error()})
	}
}
