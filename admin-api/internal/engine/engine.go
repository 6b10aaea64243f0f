package engine

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Ports are what an engine works with. All are required.
type Ports struct {
	Store    Store
	Manager  Manager
	Watcher  Watcher
	Packages Packages
	Insight  Insight
	Caller   Caller
	Sealer   Sealer
}

// Options change how an engine works; the zero value is right for everything but tests.
type Options struct {
	Lease    time.Duration // how long the creation of a version is believed without a sign of life; 15 s
	Assert   time.Duration // how often all that is asked for is compared with what is; 5 s
	Poll     time.Duration // how often a watched runtime is looked at for other replicas' changes; 0.5 s
	PageKey  []byte        // what page tokens are signed with; replicas share it. Empty: tokens are checked for form only
	Reserved []string      // names that no runtime may have, besides those of the platform
}

// Engine is the use cases. Errors that are meant for the caller are *fault.Error with a kind and one of the Reason…
// constants; where fields of the request are wrong they are listed.
//
// The identity of who calls comes with the context: see [WithActor].
type Engine struct {
	Ports
	log  *zap.Logger
	opts Options

	observed *observed
	wake     chan string // names of runtimes that the loop is to look at now
}

// New is an engine over these ports. Nothing happens until Run.
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
	return &Engine{
		Ports: ports, log: log, opts: opts, observed: newObserved(), wake: make(chan string, 1024),
	}
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
