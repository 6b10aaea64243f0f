package lifecycle

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Options of a Manager; the zero value works.
type Options struct {
	Alive time.Duration // after so long without an event a watcher gets a sign of life; 0: 5 s
	Log   *zap.Logger   // nil: nothing is logged
}

// Event is one that a watcher gets; exactly one field is set.
type Event struct {
	Runtime *RuntimeStatus // as it is now
	Deleted string         // name of a runtime that is gone
	Synced  bool           // every runtime that is there has been told
	Alive   bool           // nothing has changed for a while
}

// Manager checks what is asked of the cluster and tells any number of watchers what is observed there. Run looks after it.
type Manager struct {
	cluster Cluster
	alive   time.Duration
	log     *zap.Logger

	mu       sync.Mutex
	dirty    map[string]struct{} // runtimes to be looked at
	wake     chan struct{}
	seen     map[string]RuntimeStatus
	synced   chan struct{} // closed when all that is there was seen
	watchers map[*watcher]struct{}
}

// NewManager is a manager of the runtimes in a cluster.
func NewManager(cluster Cluster, o Options) *Manager {
	if o.Alive == 0 {
		o.Alive = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Manager{
		cluster: cluster, alive: o.Alive, log: o.Log,
		dirty: make(map[string]struct{}), wake: make(chan struct{}, 1),
		seen: make(map[string]RuntimeStatus), synced: make(chan struct{}),
		watchers: make(map[*watcher]struct{}),
	}
}

// ApplyRuntime records what should be of a runtime. fault.Invalid: it cannot be; fault.Conflict: something later is
// recorded; fault.Precondition: it is being deleted.
func (m *Manager) ApplyRuntime(ctx context.Context, desired Runtime) error {
	if err := desired.check(); err != nil {
		return err
	}
	return m.cluster.ApplyRuntime(ctx, desired)
}

// DeleteRuntime begins to remove a runtime. fault.Invalid: it is no name.
func (m *Manager) DeleteRuntime(ctx context.Context, name string) error {
	var wrong fields
	wrong.name("runtime", name)
	if err := wrong.err(); err != nil {
		return err
	}
	return m.cluster.DeleteRuntime(ctx, name)
}

// ApplyVersion records what should be of a version. The errors are those of ApplyRuntime, and fault.NotFound: there is no
// such runtime.
func (m *Manager) ApplyVersion(ctx context.Context, desired Version) error {
	if err := desired.check(); err != nil {
		return err
	}
	return m.cluster.ApplyVersion(ctx, desired)
}

// DeleteVersion removes what is left of a version. fault.Invalid: they are no names; fault.Precondition: it runs.
func (m *Manager) DeleteVersion(ctx context.Context, runtime, version string) error {
	var wrong fields
	wrong.name("runtime", runtime)
	wrong.name("version", version)
	if err := wrong.err(); err != nil {
		return err
	}
	return m.cluster.DeleteVersion(ctx, runtime, version)
}

// Runtime observes a runtime now. fault.Invalid: it is no name; fault.NotFound: there is none.
func (m *Manager) Runtime(ctx context.Context, name string) (RuntimeStatus, error) {
	var wrong fields
	wrong.name("runtime", name)
	if err := wrong.err(); err != nil {
		return RuntimeStatus{}, err
	}
	return m.cluster.Observe(ctx, name)
}
