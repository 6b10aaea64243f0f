package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// World is a manager, the services of its runtimes and their versions, in memory: what is asked for comes about at once,
// unless a test says otherwise. It is safe for concurrent use.
type World struct {
	mu        sync.Mutex
	runtimes  map[string]*engine.ObservedRuntime
	packages  map[string][]string // versions by runtime's address
	documents map[string]string   // by version
	wishes    []engine.VersionWish
	watchers  map[chan engine.Observation]struct{}
	nodes     []engine.Node
	lines     []engine.LogEntry
	call      func(engine.Call) (engine.Answer, error)

	away   bool  // nothing answers
	deaf   bool  // what is told is lost
	refuse error // of the next packages
}

var (
	_ engine.Manager  = (*World)(nil)
	_ engine.Runtimes = (*World)(nil)
	_ engine.Calls    = (*World)(nil)
)

// NewWorld returns a world in which nothing is.
func NewWorld() *World {
	return &World{
		runtimes: make(map[string]*engine.ObservedRuntime), packages: make(map[string][]string),
		documents: make(map[string]string), watchers: make(map[chan engine.Observation]struct{}),
		nodes: []engine.Node{{Name: engine.Entrypoint}},
	}
}

// Observe sets what is observed of a version. A revision of 0 stands for the one that was applied last.
func (w *World) Observe(runtime string, seen engine.ObservedVersion) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.runtimes[runtime]
	if before := there.Version(seen.Name); before != nil && seen.Revision == 0 {
		seen.Revision = before.Revision
	}
	w.put(there, seen)
}

// Away makes that nothing answers.
func (w *World) Away() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
}

// Deafen makes that what is told is lost.
func (w *World) Deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = true
}

// Refuse makes every package fail with an error; nil ends that.
func (w *World) Refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

// Document puts documentation into the packages of a version.
func (w *World) Document(version, markdown string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.documents[version] = markdown
}

// Log is what every version has logged, the newest first.
func (w *World) Log(lines ...engine.LogEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = lines
}

// Answer is how every version answers.
func (w *World) Answer(call func(engine.Call) (engine.Answer, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call = call
}

// Nodes sets what is observed of the nodes of every version.
func (w *World) Nodes(nodes ...engine.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = nodes
}

// Store sets which versions have a package in a runtime.
func (w *World) Store(runtime string, versions ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packages[runtime] = versions
}

// Stored names the versions that have a package in a runtime.
func (w *World) Stored(runtime string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.packages[runtime])
}

// Told is the last wish that the manager was told of a version.
func (w *World) Told() engine.VersionWish {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wishes[len(w.wishes)-1]
}

var errAway = fault.New(fault.Unavailable, "away")

func (w *World) with(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errAway
	}
	return do()
}

// tell tells the watchers of a runtime; with the lock.
func (w *World) tell(runtime string) {
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

// ApplyRuntime is part of engine.Projector.
func (w *World) ApplyRuntime(_ context.Context, wish engine.RuntimeWish) error {
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

// ApplyVersion is part of engine.Projector.
func (w *World) ApplyVersion(_ context.Context, wish engine.VersionWish) error {
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
		seen.Revision = wish.Revision
		w.put(runtime, seen)
		return nil
	})
}

// put sets what is observed of a version; with the lock.
func (w *World) put(runtime *engine.ObservedRuntime, seen engine.ObservedVersion) {
	runtime.Versions = slices.DeleteFunc(runtime.Versions, func(v engine.ObservedVersion) bool { return v.Name == seen.Name })
	runtime.Versions = append(runtime.Versions, seen)
	w.tell(runtime.Name)
}

// DeleteRuntime is part of engine.Projector.
func (w *World) DeleteRuntime(_ context.Context, runtime string) error {
	return w.with(func() error {
		delete(w.runtimes, runtime)
		delete(w.packages, runtime)
		w.tell(runtime)
		return nil
	})
}

// DeleteVersion is part of engine.Projector.
func (w *World) DeleteVersion(_ context.Context, runtime, version string) error {
	return w.with(func() error {
		if seen, there := w.runtimes[runtime]; there {
			seen.Versions = slices.DeleteFunc(seen.Versions, func(v engine.ObservedVersion) bool { return v.Name == version })
			w.tell(runtime)
		}
		return nil
	})
}

// ObserveRuntime is part of engine.Observer.
func (w *World) ObserveRuntime(_ context.Context, runtime string) (seen engine.ObservedRuntime, err error) {
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

// WatchRuntimes is part of engine.Observer.
func (w *World) WatchRuntimes(ctx context.Context, observed func(engine.Observation)) error {
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

// BreakWatches ends every watch and keeps new ones from beginning.
func (w *World) BreakWatches() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
	for watcher := range w.watchers {
		delete(w.watchers, watcher)
		close(watcher)
	}
}

// Back makes that everything answers again.
func (w *World) Back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.deaf = false, false
}

// UploadPackage takes a package that is just its manifest: the version's name, then its variables, and its files, each with
// an @ before it, separated by blanks.
func (w *World) UploadPackage(_ context.Context, address string, content io.Reader, accept func(engine.Manifest) error) (engine.Package, error) {
	text, err := io.ReadAll(content)
	if err != nil {
		return engine.Package{}, err
	}
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return engine.Package{}, fault.New(fault.Invalid, "the package is empty").For(engine.ReasonInvalidPackage)
	}
	manifest := engine.Manifest{Version: words[0], DisplayName: words[0]}
	for _, key := range words[1:] {
		if file, ok := strings.CutPrefix(key, "@"); ok {
			manifest.Files = append(manifest.Files, file)
		} else {
			manifest.Variables = append(manifest.Variables, key)
		}
	}
	if err := accept(manifest); err != nil {
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

// ReadFile is part of engine.Packages.
func (w *World) ReadFile(_ context.Context, _, version, _ string, _ int64) (content []byte, err error) {
	err = w.with(func() error {
		text, there := w.documents[version]
		if !there {
			return fault.New(fault.NotFound, "no file")
		}
		content = []byte(text)
		return nil
	})
	return content, err
}

// DeletePackage is part of engine.Packages.
func (w *World) DeletePackage(_ context.Context, address, version string) error {
	return w.with(func() error {
		w.packages[address] = slices.DeleteFunc(w.packages[address], func(v string) bool { return v == version })
		return nil
	})
}

// ListPackages is part of engine.Packages.
func (w *World) ListPackages(_ context.Context, address string) (versions []string, err error) {
	err = w.with(func() error { versions = slices.Clone(w.packages[address]); return nil })
	return versions, err
}

// SearchLogs is part of engine.Logs: a page, the token being how many lines came before it.
func (w *World) SearchLogs(_ context.Context, _ string, query engine.LogQuery) (page engine.LogPage, err error) {
	err = w.with(func() error {
		before := 0
		if query.Token != "" {
			var err error
			if before, err = strconv.Atoi(query.Token); err != nil {
				return err
			}
		}
		end := len(w.lines)
		if query.Size > 0 && before+query.Size < end {
			end = before + query.Size
			page.NextToken = strconv.Itoa(end)
		}
		page.Entries = slices.Clone(w.lines[before:end])
		return nil
	})
	return page, err
}

// TailLogs is part of engine.Logs. Nothing follows after what was logged.
func (w *World) TailLogs(ctx context.Context, _ string, query engine.LogQuery, line func(engine.LogEntry) error) error {
	var last []engine.LogEntry
	err := w.with(func() error {
		last = slices.Clone(w.lines[:min(query.Last, len(w.lines))])
		return nil
	})
	if err != nil {
		return err
	}
	for _, entry := range slices.Backward(last) {
		if err := line(entry); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// ListNodes is part of engine.Runtimes.
func (w *World) ListNodes(context.Context, string, string) ([]engine.Node, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.nodes), nil
}

// Call is part of engine.Calls.
func (w *World) Call(_ context.Context, call engine.Call) (answer engine.Answer, err error) {
	err = w.with(func() error {
		if w.call == nil {
			answer = engine.Answer{Response: []byte(`"` + call.HTTPAddress + `"`), RequestID: "01X"}
			return nil
		}
		answer, err = w.call(call)
		return err
	})
	return answer, err
}

// Seal is no cipher, but opens only with what it was sealed with.
type Seal struct{}

var _ engine.Sealer = Seal{}

// Seal is part of engine.Sealer.
func (Seal) Seal(plain, associated []byte) ([]byte, error) {
	return slices.Concat([]byte("sealed:"), associated, []byte{0}, plain), nil
}

// Open is part of engine.Sealer.
func (Seal) Open(sealed, associated []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, slices.Concat([]byte("sealed:"), associated, []byte{0}))
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return plain, nil
}
