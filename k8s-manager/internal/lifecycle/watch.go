package lifecycle

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
)

const (
	// settle is how long changes are gathered before a runtime is looked at: a start changes many things at once.
	settle = 10 * time.Millisecond
	// lookAgain is the pause after a look that failed.
	lookAgain   = time.Second
	observeTime = 5 * time.Second
)

// Run looks at what changes in the cluster and tells the watchers, until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	stop := m.cluster.Notify(m.changed)
	defer stop()
	for {
		names, err := m.cluster.Runtimes(ctx)
		if err == nil {
			for _, name := range names {
				m.look(ctx, name)
			}
			close(m.synced)
			break
		}
		m.log.Warn("listing runtimes", log.Error(err))
		if !pause(ctx, lookAgain) {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		if !pause(ctx, settle) {
			return
		}
		for _, name := range m.takeDirty() {
			m.look(ctx, name)
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// changed is called by the cluster, and must not block.
func (m *Manager) changed(runtime string) {
	m.mu.Lock()
	m.dirty[runtime] = struct{}{}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Manager) takeDirty() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.dirty))
	for name := range m.dirty {
		names = append(names, name)
	}
	clear(m.dirty)
	slices.Sort(names)
	return names
}

// look observes one runtime and tells the watchers what is new.
func (m *Manager) look(ctx context.Context, name string) {
	observing, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	status, err := m.cluster.Observe(observing, name)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		m.gone(name)
	case err != nil:
		if ctx.Err() == nil {
			m.log.Warn("observing a runtime", log.Runtime(name), log.Error(err), zap.Duration("again_in", lookAgain))
			time.AfterFunc(lookAgain, func() { m.changed(name) })
		}
	default:
		m.is(status)
	}
}

func (m *Manager) gone(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.seen[name]; !known {
		return
	}
	delete(m.seen, name)
	for w := range m.watchers {
		w.tell(name)
	}
}

func (m *Manager) is(status RuntimeStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, known := m.seen[status.Name]
	m.seen[status.Name] = status
	if known && last.same(status) {
		return
	}
	for w := range m.watchers {
		w.tell(status.Name)
	}
}

// watcher knows which runtimes one caller of Watch has to be told of. A slow one is told of the last state only.
type watcher struct {
	mu    sync.Mutex
	news  map[string]struct{}
	wake  chan struct{}
	order []string
}

func (w *watcher) tell(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waiting := w.news[name]; !waiting {
		w.news[name] = struct{}{}
		w.order = append(w.order, name)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := w.order
	w.order = nil
	clear(w.news)
	return names
}

// Watch sends each runtime as it is, then Synced, then each that changes, as a whole, until ctx ends (nil) or send fails (its
// error). Whoever is slow misses states in between, never the last one.
func (m *Manager) Watch(ctx context.Context, send func(Event) error) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.synced:
	}
	w := &watcher{news: make(map[string]struct{}), wake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.watchers[w] = struct{}{}
	var first []RuntimeStatus
	for _, status := range m.seen {
		first = append(first, status)
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, w)
	}()
	told := make(map[string]struct{})
	for _, status := range first {
		told[status.Name] = struct{}{}
		if err := send(Event{Runtime: &status}); err != nil {
			return err
		}
	}
	if err := send(Event{Synced: true}); err != nil {
		return err
	}
	quiet := time.NewTimer(m.alive)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			if err := m.sendNews(w.take(), told, send); err != nil {
				return err
			}
		case <-quiet.C:
			if err := send(Event{Alive: true}); err != nil {
				return err
			}
		}
		quiet.Reset(m.alive)
	}
}

func (m *Manager) sendNews(names []string, told map[string]struct{}, send func(Event) error) error {
	for _, name := range names {
		m.mu.Lock()
		status, there := m.seen[name]
		m.mu.Unlock()
		var event Event
		if there {
			told[name] = struct{}{}
			event.Runtime = &status
		} else {
			if _, known := told[name]; !known {
				continue // it came and went between two looks of this watcher
			}
			delete(told, name)
			event.Deleted = name
		}
		if err := send(event); err != nil {
			return err
		}
	}
	return nil
}
