package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/kit/fault"
)

const patience = time.Minute

// world is a manager and the services of its runtimes, in memory: what is asked for comes about at once, unless a test
// says otherwise.
type world struct {
	mu       sync.Mutex
	runtimes map[string]*engine.ObservedRuntime
	packages map[string][]string // versions by runtime's address
	wishes   []engine.VersionWish
	watchers map[chan engine.Observation]struct{}

	away    bool                                            // nothing answers
	deaf    bool                                            // what is told is lost
	becomes func(engine.VersionWish) engine.ObservedVersion // nil: what was asked for
	refuse  error                                           // of the next package
}

func newWorld() *world {
	return &world{
		runtimes: make(map[string]*engine.ObservedRuntime), packages: make(map[string][]string),
		watchers: make(map[chan engine.Observation]struct{}),
	}
}

var errAway = fault.New(fault.Unavailable, "away")

func (w *world) with(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errAway
	}
	return do()
}

// tell tells the watchers of a runtime; with the lock.
func (w *world) tell(runtime string) {
	event := engine.Observation{Deleted: runtime}
	if seen, there := w.runtimes[runtime]; there {
		copied := *seen
		copied.Versions = slices.Clone(seen.Versions)
		event = engine.Observation{Runtime: &copied}
	}
	for watcher := range w.watchers {
		watcher <- event
	}
}

func (w *world) ApplyRuntime(_ context.Context, wish engine.RuntimeWish) error {
	return w.with(func() error {
		if w.deaf {
			return errAway
		}
		seen, there := w.runtimes[wish.Runtime]
		if !there {
			seen = &engine.ObservedRuntime{Name: wish.Runtime, Phase: engine.Ready, RuntimeAPIAddress: wish.Runtime, GRPCAddress: "host:9000", HTTPAddress: "http://host:8080"}
			w.runtimes[wish.Runtime] = seen
		}
		if wish.Revision < seen.Revision {
			return fault.New(fault.Conflict, "older")
		}
		seen.Revision, seen.Published, seen.ObserveTime = wish.Revision, wish.Published, time.Now()
		w.tell(wish.Runtime)
		return nil
	})
}

func (w *world) ApplyVersion(_ context.Context, wish engine.VersionWish) error {
	return w.with(func() error {
		if w.deaf {
			return errAway
		}
		runtime, there := w.runtimes[wish.Runtime]
		if !there {
			return fault.New(fault.NotFound, "no runtime")
		}
		if seen := runtime.Version(wish.Version); seen != nil && wish.Revision < seen.Revision {
			return fault.New(fault.Conflict, "older")
		}
		w.wishes = append(w.wishes, wish)
		seen := engine.ObservedVersion{Name: wish.Version, Phase: engine.Stopped, Digest: wish.Digest}
		if wish.Running {
			seen.Phase, seen.HTTPAddress = engine.Started, "http://inside"
		}
		if w.becomes != nil {
			seen = w.becomes(wish)
		}
		seen.Revision = wish.Revision
		w.put(runtime, seen)
		return nil
	})
}

// put sets what is observed of a version; with the lock.
func (w *world) put(runtime *engine.ObservedRuntime, seen engine.ObservedVersion) {
	runtime.Versions = slices.DeleteFunc(runtime.Versions, func(v engine.ObservedVersion) bool { return v.Name == seen.Name })
	runtime.Versions = append(runtime.Versions, seen)
	w.tell(runtime.Name)
}

func (w *world) DeleteRuntime(_ context.Context, runtime string) error {
	return w.with(func() error {
		delete(w.runtimes, runtime)
		delete(w.packages, runtime)
		w.tell(runtime)
		return nil
	})
}

func (w *world) DeleteVersion(_ context.Context, runtime, version string) error {
	return w.with(func() error {
		if seen, there := w.runtimes[runtime]; there {
			seen.Versions = slices.DeleteFunc(seen.Versions, func(v engine.ObservedVersion) bool { return v.Name == version })
			w.tell(runtime)
		}
		return nil
	})
}

func (w *world) ObserveRuntime(_ context.Context, runtime string) (seen engine.ObservedRuntime, err error) {
	err = w.with(func() error {
		there, ok := w.runtimes[runtime]
		if !ok {
			return fault.New(fault.NotFound, "no runtime")
		}
		seen = *there
		seen.Versions = slices.Clone(there.Versions)
		return nil
	})
	return seen, err
}

func (w *world) WatchRuntimes(ctx context.Context, observed func(engine.Observation)) error {
	events := make(chan engine.Observation, 1000)
	err := w.with(func() error {
		for _, seen := range w.runtimes {
			copied := *seen
			copied.Versions = slices.Clone(seen.Versions)
			events <- engine.Observation{Runtime: &copied}
		}
		events <- engine.Observation{Synced: true}
		w.watchers[events] = struct{}{}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, events)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-events:
			if !ok {
				return errors.New("the stream broke")
			}
			observed(event)
		}
	}
}

// breakWatches ends every watch and keeps new ones from beginning.
func (w *world) breakWatches() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
	for watcher := range w.watchers {
		delete(w.watchers, watcher)
		close(watcher)
	}
}

func (w *world) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.deaf = false, false
}

// UploadPackage takes a package that is just its manifest: the version's name, then its variables, separated by blanks.
func (w *world) UploadPackage(_ context.Context, address string, content io.Reader, accept func(engine.Manifest) error) (engine.Package, error) {
	text, err := io.ReadAll(content)
	if err != nil {
		return engine.Package{}, err
	}
	words := strings.Fields(string(text))
	if err := accept(engine.Manifest{Version: words[0], DisplayName: words[0], Variables: words[1:]}); err != nil {
		return engine.Package{}, err
	}
	return engine.Package{Digest: "digest-" + words[0], Size: int64(len(text))}, w.with(func() error {
		if w.refuse != nil {
			return w.refuse
		}
		w.packages[address] = append(w.packages[address], words[0])
		return nil
	})
}

func (w *world) ReadFile(context.Context, string, string, string, int64) ([]byte, error) {
	return nil, fault.New(fault.NotFound, "no file")
}

func (w *world) DeletePackage(_ context.Context, address, version string) error {
	return w.with(func() error {
		w.packages[address] = slices.DeleteFunc(w.packages[address], func(v string) bool { return v == version })
		return nil
	})
}

func (w *world) ListPackages(_ context.Context, address string) (versions []string, err error) {
	err = w.with(func() error { versions = slices.Clone(w.packages[address]); return nil })
	return versions, err
}

func (w *world) SearchLogs(_ context.Context, _ string, query engine.LogQuery) (engine.LogPage, error) {
	return engine.LogPage{NextToken: "after " + query.Token}, nil
}

func (w *world) TailLogs(context.Context, string, engine.LogQuery, func(engine.LogEntry) error) error {
	return nil
}

func (w *world) ListNodes(context.Context, string, string) ([]engine.Node, error) {
	return []engine.Node{{Name: engine.Entrypoint}}, nil
}

func (w *world) Call(_ context.Context, call engine.Call) (engine.Answer, error) {
	return engine.Answer{Response: []byte(`"` + call.HTTPAddress + `"`), RequestID: "01X"}, nil
}

// seal is no cipher, but opens only with what it was sealed with.
type seal struct{}

func (seal) Seal(plain, associated []byte) ([]byte, error) {
	return slices.Concat([]byte("sealed:"), associated, []byte{0}, plain), nil
}

func (seal) Open(sealed, associated []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, slices.Concat([]byte("sealed:"), associated, []byte{0}))
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return plain, nil
}

// fixture is an engine that runs, over a store in memory.
type fixture struct {
	*engine.Engine
	world *world
	store *enginetest.Memory
	ctx   context.Context
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{world: newWorld(), store: enginetest.NewMemory()}
	f.Engine = f.replica(t)
	f.ctx = engine.WithActor(t.Context(), "ada")
	return f
}

// replica starts another engine over the same store and world.
func (f *fixture) replica(t *testing.T) *engine.Engine {
	t.Helper()
	e := engine.New(zap.NewNop(), engine.Ports{Store: f.store, Manager: f.world, Runtimes: f.world, Calls: f.world, Sealer: seal{}},
		engine.Options{Lease: 300 * time.Millisecond, Assert: 50 * time.Millisecond, Poll: 20 * time.Millisecond, PageKey: []byte("key")})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	eventually(t, e.Ready)
	return e
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond)
}

// create makes a runtime with these versions: each a name and the variables it declares.
func (f *fixture) create(t *testing.T, runtime string, packages ...string) {
	t.Helper()
	_, err := f.CreateRuntime(f.ctx, runtime, "", "")
	require.NoError(t, err)
	for _, content := range packages {
		_, err := f.UploadVersion(f.ctx, runtime, "", strings.NewReader(content))
		require.NoError(t, err)
	}
}

func (f *fixture) state(t *testing.T, runtime, version string) engine.State {
	t.Helper()
	shown, err := f.GetVersion(f.ctx, runtime, version)
	require.NoError(t, err)
	return shown.State
}

func (f *fixture) start(t *testing.T, runtime, version string) {
	t.Helper()
	_, err := f.StartVersion(f.ctx, engine.Transition{Runtime: runtime, Version: version})
	require.NoError(t, err)
	eventually(t, func() bool { return f.state(t, runtime, version) == engine.StateStarted })
}

func requireFault(t *testing.T, err error, kind fault.Kind, reason string) fault.Error {
	t.Helper()
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, kind, f.Kind, "%v", err)
	require.Equal(t, "ERROR_REASON_"+reason, f.Reason, "%v", err)
	return *f
}

// told is the last wish that the manager was told of a version.
func (f *fixture) told() engine.VersionWish {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	return f.world.wishes[len(f.world.wishes)-1]
}

// stored names the packages of a runtime.
func (f *fixture) stored(runtime string) []string {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	return slices.Clone(f.world.packages[runtime])
}
