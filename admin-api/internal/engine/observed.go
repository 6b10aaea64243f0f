package engine

import (
	"context"
	"sync"
	"time"
)

// observed is what the manager's watch tells: a cache for lists, never an input of a decision.
type observed struct {
	mu       sync.Mutex
	synced   bool // the watch goes on, and has told of every runtime
	runtimes map[string]Observation
	fresh    map[string]bool // told since the watch began
	alive    time.Time
	changed  map[chan struct{}]struct{}
}

func newObserved() *observed {
	return &observed{runtimes: make(map[string]Observation), changed: make(map[chan struct{}]struct{})}
}

// begin is called when a watch begins: what is known is old from now on.
func (o *observed) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.synced, o.fresh = false, make(map[string]bool)
	o.tell()
}

// Seen implements [WatchSink].
func (o *observed) Seen(observation Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runtimes[observation.Runtime], o.alive = observation, time.Now()
	o.fresh[observation.Runtime] = true
	o.tell()
}

// Gone implements [WatchSink].
func (o *observed) Gone(runtime string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.runtimes, runtime)
	o.tell()
}

// Synced implements [WatchSink].
func (o *observed) Synced() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for runtime := range o.runtimes {
		if !o.fresh[runtime] {
			delete(o.runtimes, runtime)
		}
	}
	o.synced, o.alive = true, time.Now()
	o.tell()
}

// Alive implements [WatchSink].
func (o *observed) Alive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive = time.Now()
}

// tell wakes who waits for changes; with the lock.
func (o *observed) tell() {
	for waiting := range o.changed {
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
	o.changed[c] = struct{}{}
	return c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.changed, c)
	}
}

// sight is what is known of one runtime.
type sight struct {
	Observation
	known bool // it is as it is now; else as it was at Time
	there bool // the manager has such a runtime
}

// of tells what is known of a runtime.
func (o *observed) of(runtime string) sight {
	o.mu.Lock()
	defer o.mu.Unlock()
	observation, there := o.runtimes[runtime]
	s := sight{Observation: observation, known: o.synced, there: there}
	if s.known && s.Time.Before(o.alive) {
		s.Time = o.alive // it would have been told, had it changed
	}
	return s
}

func (o *observed) ready() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.synced
}

// watch keeps the cache fed until ctx ends.
func (e *Engine) watch(ctx context.Context) {
	for pause := 100 * time.Millisecond; ctx.Err() == nil; {
		e.observed.begin()
		begun := time.Now()
		err := e.Watcher.Watch(ctx, e.observed)
		e.observed.begin()
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > 10*time.Second {
			pause = 100 * time.Millisecond
		}
		e.log.Warn("the manager cannot be watched", errorField(err))
		wait(ctx, pause)
		pause = min(2*pause, time.Second)
	}
}
