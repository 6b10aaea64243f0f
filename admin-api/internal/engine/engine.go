package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
)

// Ports are what an engine works with. All are required.
type Ports struct {
	Store    Store
	Manager  Manager
	Runtimes Runtimes
	Calls    Calls
	Sealer   Sealer
}

// Options change how an engine works; the zero value is right for everything but tests.
type Options struct {
	Lease    time.Duration // how long an upload is believed in without a sign of life; 15 s
	Assert   time.Duration // how often all that is asked for is compared with what is; 5 s
	Poll     time.Duration // how often a watched runtime is looked at for other replicas' changes; 0.5 s
	PageKey  []byte        // what page tokens are signed with; replicas share it
	Reserved []string      // names that no runtime may have, besides those of the platform
}

// Engine is the use cases. Errors that are meant for the caller are *fault.Error with a kind and one of the Reason…
// constants; where fields of the request are wrong they are listed. The identity of who calls comes with the context: see
// [WithActor].
type Engine struct {
	Ports
	log  *zap.Logger
	opts Options

	observed *observed
	known    known
	wake     chan string // names of runtimes that the loop is to look at now
}

// New is an engine over these ports. Nothing happens by itself until Run.
func New(log *zap.Logger, ports Ports, opts Options) *Engine {
	if opts.Lease <= 0 {
		opts.Lease = 15 * time.Second
	}
	if opts.Assert <= 0 {
		opts.Assert = 5 * time.Second
	}
	if opts.Poll <= 0 {
		opts.Poll = 500 * time.Millisecond
	}
	return &Engine{Ports: ports, log: log, opts: opts, observed: newObserved(), wake: make(chan string, 1024)}
}

type actorKey struct{}

// WithActor tells who calls.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	if actor, ok := ctx.Value(actorKey{}).(string); ok {
		return actor
	}
	return "unknown"
}

// now is the time as stores keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// errNothing ends a change that has nothing to change, in success.
var errNothing = errors.New("nothing to change")

// attempts is how often a change is tried when others come first.
const attempts = 100

// change changes a ledger in one write. The function is given a fresh copy, whose revision is raised already, and may be
// called several times; its error ends the change and is returned, errNothing as nil with the ledger as it is.
func (e *Engine) change(ctx context.Context, runtime string, change func(*Ledger) error) (Ledger, error) {
	for attempt := range attempts {
		ledger, err := e.ledger(ctx, runtime)
		if err != nil {
			return Ledger{}, err
		}
		was := ledger.Revision
		changed := ledger.Clone()
		changed.Revision++
		if err := change(&changed); err != nil {
			if errors.Is(err, errNothing) {
				return ledger, nil
			}
			return Ledger{}, err
		}
		err = e.Store.ReplaceLedger(ctx, changed, was)
		if err == nil {
			e.changed(runtime)
			return changed, nil
		}
		if fault.KindOf(err) != fault.Conflict {
			return Ledger{}, storeError(err)
		}
		wait(ctx, time.Duration(attempt)*time.Millisecond)
		if ctx.Err() != nil {
			return Ledger{}, ctx.Err()
		}
	}
	return Ledger{}, fault.New(fault.Conflict, "too many people change runtime %s at once; try again", runtime).For(ReasonConflict, "runtime", runtime)
}

// ledger reads what is stored of a runtime.
func (e *Engine) ledger(ctx context.Context, runtime string) (Ledger, error) {
	ledger, err := e.Store.Ledger(ctx, runtime)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return Ledger{}, noRuntime(runtime)
	}
	return ledger, storeError(err)
}

// storeError is an error of the store as the caller may know it; nil stays nil.
func storeError(err error) error {
	if err != nil && fault.KindOf(err) == fault.Unavailable {
		return unavailable("the store", err)
	}
	return err
}

// changed wakes the loop and the watchers of this replica.
func (e *Engine) changed(runtime string) {
	select {
	case e.wake <- runtime:
	default: // the loop looks at everything soon anyway
	}
	e.observed.tell()
}

// note adds to the outbox who does what.
func note(ctx context.Context, ledger *Ledger, action Action, version, comment string, details map[string]string) {
	ledger.Outbox = append(ledger.Outbox, Activity{
		Runtime: ledger.Name, Revision: ledger.Revision, Time: now(), Actor: actorOf(ctx), Action: action,
		Version: version, Comment: comment, Details: details,
	})
}

// wait pauses, unless ctx ends before.
func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
