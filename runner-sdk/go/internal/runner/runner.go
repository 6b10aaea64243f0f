// Package runner runs a node: it takes messages from its sources, has them handled one at a time, and stores what the
// handler sent before it acknowledges them, as runner-sdk/spec/protocol.md says. What a handler is, it does not know.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/config"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
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
	// Init prepares the process; its context ends when the process is told to end.
	Init func(context.Context) error
	// Handle runs the handler of one attempt.
	Handle func(context.Context, *exchange.Exchange) error
	// DrainFor is how long a terminating process may take to finish; 0 is 25 s.
	DrainFor time.Duration
}

// Runner is a node that runs.
type Runner struct {
	node   config.Node
	log    *logline.Log
	handle func(context.Context, *exchange.Exchange) error
	conn   *broker.Conn
	store  *store.Store
	pull   *pull.Puller
	hand   *hand
	slow   *slowness

	maxBody int
	slots   chan struct{}  // one for each run that waits for confirmations
	pending sync.WaitGroup // those runs
	ending  atomic.Bool    // no messages are taken any more
	unheard sync.Map       // channels nobody listens to that were sent to
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
	if err := bind(ctx, conn, o.Log, process.Node.Sources); err != nil {
		return ifNotToldToEnd(ctx, err)
	}
	hand := newHand()
	defer hand.end()
	if err := hand.call(ctx, o.Init); err != nil {
		logStack(o.Log, "init ended badly", err)
		return ifNotToldToEnd(ctx, fmt.Errorf("init: %w", err))
	}
	consumers := make([]pull.Consumer, 0, len(process.Node.Sources))
	for _, source := range process.Node.Sources {
		consumers = append(consumers, pull.Consumer{Stream: source.Stream, Name: source.Consumer})
	}
	r := &Runner{
		node: process.Node, log: o.Log, handle: o.Handle, conn: conn, hand: hand,
		store:   store.New(conn, o.Log),
		pull:    pull.New(conn, o.Log, consumers),
		maxBody: conn.Limit() - headerRoom,
		slots:   make(chan struct{}, maxPending),
	}
	r.slow = newSlowness(r)
	if o.DrainFor == 0 {
		o.DrainFor = drainFor
	}
	return r.run(ctx, process.ReadyFile, o.DrainFor)
}

func ifNotToldToEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // whatever went wrong, ending is what was asked for
	}
	return err
}

func (r *Runner) run(ctx context.Context, readyFile string, drainFor time.Duration) error {
	if err := r.pull.Start(); err != nil {
		return fmt.Errorf("asking for messages: %w", err)
	}
	// The hard context ends when the process can no longer wait for what it has begun.
	hard, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.pull.Keep(hard) })
	helpers.Go(func() { r.slow.watch(hard) })
	lost := make(chan error, 1)
	helpers.Go(func() { watch(ctx, r.conn, r.node.Sources, lost) })
	worked := make(chan struct{})
	go func() {
		r.work(ctx, hard)
		close(worked)
	}()
	if readyFile != "" {
		if err := os.WriteFile(readyFile, nil, 0o600); err != nil {
			r.log.Write(logline.Record{Level: logline.Error, Message: "the ready file cannot be written", Err: err.Error()})
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-lost:
	}
	if readyFile != "" {
		_ = os.Remove(readyFile) // gone already is as well
	}
	r.drain(worked, stop, drainFor)
	stop(nil)
	helpers.Wait()
	return err
}

var errDrained = errors.New("the process ends")

// drain stops taking messages and finishes what was begun; past its time it gives that back.
func (r *Runner) drain(worked <-chan struct{}, stop context.CancelCauseFunc, drainFor time.Duration) {
	r.ending.Store(true)
	r.pull.Stop()
	finished := make(chan struct{})
	go func() {
		<-worked
		r.pending.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(drainFor):
		r.log.Printf(logline.Warn, "the process has to end before everything it began is finished: %d messages are given back", r.pull.Held())
		stop(errDrained)
		select {
		case <-finished:
		case <-time.After(giveUpFor):
		}
		r.pull.GiveBackAll()
	}
	flush, cancel := context.WithTimeout(context.Background(), giveUpFor)
	defer cancel()
	r.pull.Drained(flush)
	_ = r.conn.Flush(flush) // unsent, the broker finds out by itself
}
