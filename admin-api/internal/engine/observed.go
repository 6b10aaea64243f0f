package engine

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// observed is what the manager's watch tells: a cache for lists and watchers, never an input of a decision.
type observed struct {
	mu       sync.Mutex
	synced   bool // the watch goes on, and has told of every runtime
	runtimes map[string]ObservedRuntime
	fresh    map[string]bool // told since the watch began
	alive    time.Time
	waiting  map[chan struct{}]struct{}
}

func newObserved() *observed {
	return &observed{runtimes: make(map[string]ObservedRuntime), fresh: make(map[string]bool), waiting: make(map[chan struct{}]struct{})}
}

// old marks what is known as old: a watch begins, or has ended.
func (o *observed) old() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.synced, o.fresh = false, make(map[string]bool)
	o.tellLocked()
}

// take keeps what the watch tells.
func (o *observed) take(event Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive = now()
	switch {
	case event.Runtime != nil:
		o.runtimes[event.Runtime.Name] = *event.Runtime
		o.fresh[event.Runtime.Name] = true
	case event.Deleted != "":
		delete(o.runtimes, event.Deleted)
	case event.Synced:
		for runtime := range o.runtimes {
			if !o.fresh[runtime] {
				delete(o.runtimes, runtime) // it went while nobody watched
			}
		}
		o.synced = true
	case event.Alive:
		return
	}
	o.tellLocked()
}

// tell wakes who waits for changes.
func (o *observed) tell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tellLocked()
}

func (o *observed) tellLocked() {
	for waiting := range o.waiting {
		select {
		case waiting <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// listen returns a channel that gets something after each change, and a function that ends that.
func (o *observed) listen() (<-chan struct{}, func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := make(chan struct{}, 1)
	o.waiting[c] = struct{}{}
	return c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.waiting, c)
	}
}

func (o *observed) ready() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.synced
}

// sight is what is known of one runtime.
type sight struct {
	ObservedRuntime
	known bool // it is as it is now; else as it was at ObserveTime
	there bool // the manager has such a runtime
}

// of tells what is known of a runtime.
func (o *observed) of(runtime string) sight {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen, there := o.runtimes[runtime]
	s := sight{ObservedRuntime: seen, known: o.synced, there: there}
	if s.known && s.ObserveTime.Before(o.alive) {
		s.ObserveTime = o.alive // it would have been told, had it changed
	}
	return s
}

// Pauses between watches that break.
const (
	firstPause  = 50 * time.Millisecond
	longestWait = time.Second
	longLived   = 10 * time.Second // a watch that lasted so long was a good one
)

// watchManager keeps the cache fed until ctx ends.
func (e *Engine) watchManager(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		e.observed.old()
		begun := time.Now()
		err := e.Manager.WatchRuntimes(ctx, func(event Observation) {
			e.observed.take(event)
			switch {
			case event.Runtime != nil:
				e.look(event.Runtime.Name)
			case event.Deleted != "":
				e.look(event.Deleted) // what is left of it can be removed now
			}
		})
		e.observed.old()
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > longLived {
			pause = firstPause
		}
		e.log.Warn("the manager cannot be watched", zap.Error(err))
		wait(ctx, pause)
		pause = min(2*pause, longestWait)
	}
}

// look has the loop look at a runtime soon.
func (e *Engine) look(runtime string) {
	select {
	case e.wake <- runtime:
	default: // the loop looks at everything soon anyway
	}
}
