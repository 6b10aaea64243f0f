package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/proc"
)

// Cluster is the lifecycle.Cluster of this machine.
type Cluster struct {
	o         Options
	inherited map[string]string // what every process gets of our own environment
	passed    map[string]string // what those of versions get
	telemetry map[string]string // what those of the platform get besides
	super     *proc.Supervisor
	ports     *keeper
	begin     func(*loop)
	// apiProgram is the program runtime-api as it was when it was first asked for.
	apiProgram func() (launch.Program, error)
	made       func() (made, error) // what plans are made by, likewise
	halt       context.CancelFunc   // of all loops
	loops      sync.WaitGroup

	creating sync.Mutex // held while a runtime is made

	// mu is the innermost lock: whoever holds it takes no other.
	mu       sync.Mutex
	runtimes map[string]*runtime
	started  int               // processes, so far
	changed  map[string]func() // by name of the process
	watchers map[int]func(runtime string)
	watches  int
}

// Open finds what there is in the directory, takes up the processes that run, and begins to look after everything. Close,
// or Stop, ends that.
func Open(o Options) (*Cluster, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.LogLevel == "" {
		o.LogLevel = "info"
	}
	if ip := net.ParseIP(o.PublicHost); len(o.AllowedHosts) == 0 && o.PublicHost != "localhost" && (ip == nil || !ip.IsLoopback()) {
		o.AllowedHosts = []string{"*"}
	}
	if o.PrepareAgain == 0 {
		o.PrepareAgain = 30 * time.Second
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, runtimesDir), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of runtimes: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, removedDir)); err != nil {
		return nil, fmt.Errorf("clean up what was removed: %w", err)
	}
	entries, err := os.ReadDir(filepath.Join(o.Dir, runtimesDir))
	if err != nil {
		return nil, fmt.Errorf("look for runtimes: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{
		o: o, inherited: launch.Inherited(os.Environ()), passed: launch.Inherited(os.Environ(), o.PassEnv...), telemetry: launch.Telemetry(os.Environ()), ports: newKeeper(), halt: cancel,
		runtimes: make(map[string]*runtime), changed: make(map[string]func()), watchers: make(map[int]func(string)),
	}
	c.super = proc.New(proc.Options{Observer: c})
	c.apiProgram = sync.OnceValues(func() (launch.Program, error) {
		return launch.Executable(filepath.Join(o.Libexec, "runtime-api"))
	})
	c.made = sync.OnceValues(func() (made, error) { return madeNow(o.Libexec) })
	c.begin = func(l *loop) { c.loops.Go(func() { l.run(ctx) }) }
	// All ports that are kept are known before one is picked.
	for _, entry := range entries {
		if rt := c.load(entry); rt != nil {
			c.runtimes[rt.name] = rt
		}
	}
	patience := time.NewTimer(adoptPatience)
	defer patience.Stop()
	for _, rt := range c.runtimes {
		rt.begin()
	}
	for _, rt := range c.runtimes {
		select {
		case <-rt.looked:
		case <-patience.C:
			return c, nil
		}
	}
	return c, nil
}

// adoptPatience is how long Open waits until what runs has been found, so that nobody is told it did not.
const adoptPatience = 3 * time.Second

// load reads a runtime from its directory; nil: there is none.
func (c *Cluster) load(entry fs.DirEntry) *runtime {
	rt := newRuntime(c, entry.Name())
	if err := sweepPartial(rt.dir); err != nil {
		c.o.Log.Warn("looking at a runtime", log.Runtime(rt.name), log.Error(err))
	}
	if _, err := os.Stat(rt.dir); errors.Is(err, fs.ErrNotExist) {
		return nil // it had only just been begun
	}
	err := readJSON(rt.path(runtimeFile), &rt.record)
	if err != nil {
		// Whoever knows what should be tells it again, and everything is found then.
		c.o.Log.Error("a runtime cannot be read and is left alone", log.Runtime(rt.name), log.Error(err))
		return nil
	}
	c.ports.keep(rt.record.GRPCPort, rt.record.HTTPPort, rt.record.APIPort)
	rt.loadVersions()
	return rt
}

// Stop ends everything in order: versions, after a moment in which callers get their answers, then the runtimes' own
// processes. What should be stays what it is: Open starts it again.
func (c *Cluster) Stop(ctx context.Context) {
	c.halt()
	c.loops.Wait()
	var ending sync.WaitGroup
	for _, rt := range c.all() {
		ending.Go(func() { rt.shutDown(ctx) })
	}
	ending.Wait()
	c.Close()
}

// Close ends the looking after; processes go on.
func (c *Cluster) Close() {
	c.halt()
	c.loops.Wait()
	c.super.Close()
	for _, rt := range c.all() {
		rt.disconnect()
	}
}

func (c *Cluster) all() []*runtime {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*runtime, 0, len(c.runtimes))
	for _, rt := range c.runtimes {
		all = append(all, rt)
	}
	return all
}

func (c *Cluster) find(name string) *runtime {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runtimes[name]
}

// Reassure makes every runtime be looked at again: something that all of them need is back.
func (c *Cluster) Reassure() {
	for _, rt := range c.all() {
		rt.mu.Lock()
		rt.assured = false
		versions := slices.Collect(maps.Values(rt.versions))
		for _, v := range versions {
			v.assured = false
		}
		rt.mu.Unlock()
		rt.loop.poke()
		for _, v := range versions {
			v.loop.poke()
		}
	}
}

// Changed is called by the supervisor.
func (c *Cluster) Changed(e proc.Event) {
	c.mu.Lock()
	changed := c.changed[e.Name]
	if e.State == proc.Ended {
		delete(c.changed, e.Name)
	}
	c.mu.Unlock()
	if changed != nil {
		changed()
	}
}

// Printed is called by the supervisor for processes that are not detached, of which there are none.
func (c *Cluster) Printed(proc.Line) {}

// Notify is part of lifecycle.Observer.
func (c *Cluster) Notify(changed func(runtime string)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches++
	id := c.watches
	c.watchers[id] = changed
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

// tell says that a runtime may look different now.
func (c *Cluster) tell(name string) {
	c.mu.Lock()
	watchers := make([]func(string), 0, len(c.watchers))
	for _, watcher := range c.watchers {
		watchers = append(watchers, watcher)
	}
	c.mu.Unlock()
	for _, watcher := range watchers {
		watcher(name)
	}
}

// Runtimes is part of lifecycle.Observer.
func (c *Cluster) Runtimes(context.Context) ([]string, error) {
	var names []string
	for _, rt := range c.all() {
		names = append(names, rt.name)
	}
	slices.Sort(names)
	return names, nil
}

// Observe is part of lifecycle.Observer.
func (c *Cluster) Observe(_ context.Context, name string) (lifecycle.RuntimeStatus, error) {
	rt := c.find(name)
	if rt == nil {
		return lifecycle.RuntimeStatus{}, notThere(name)
	}
	return rt.status(time.Now()), nil
}

func notThere(name string) error { return fault.New(fault.NotFound, "there is no runtime %q", name) }

func beingDeleted(what, name string) error {
	return fault.New(fault.Precondition, "%s %q is being deleted: wait until it is gone", what, name).For(lifecycle.ReasonDeleting)
}

// ApplyRuntime is part of lifecycle.Projector.
func (c *Cluster) ApplyRuntime(_ context.Context, desired lifecycle.Runtime) error {
	c.creating.Lock()
	defer c.creating.Unlock()
	rt := c.find(desired.Name)
	if rt == nil {
		return c.create(desired)
	}
	err := rt.update(func(r *runtimeRecord) error {
		if r.Deleting {
			return beingDeleted("runtime", rt.name)
		}
		if err := lifecycle.CheckRevision("runtime "+rt.name, r.Revision, desired.Revision); err != nil {
			return err
		}
		r.Revision, r.PublishedVersion = desired.Revision, desired.PublishedVersion
		return nil
	})
	if err != nil {
		return err
	}
	rt.loop.poke()
	c.tell(rt.name)
	return nil
}

func (c *Cluster) create(desired lifecycle.Runtime) error {
	rt := newRuntime(c, desired.Name)
	_, err := os.Stat(rt.dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	rt.record = runtimeRecord{Revision: desired.Revision, PublishedVersion: desired.PublishedVersion}
	err = os.MkdirAll(rt.dir, 0o700)
	if err == nil {
		err = writeJSON(rt.path(runtimeFile), rt.record)
	}
	if err != nil {
		if fresh {
			err = errors.Join(err, os.RemoveAll(rt.dir))
		}
		return fmt.Errorf("make runtime %s: %w", rt.name, err)
	}
	rt.loadVersions() // of a directory whose runtime.json could not be read
	c.mu.Lock()
	c.runtimes[rt.name] = rt
	c.mu.Unlock()
	rt.begin()
	c.tell(rt.name)
	return nil
}

// DeleteRuntime is part of lifecycle.Projector.
func (c *Cluster) DeleteRuntime(_ context.Context, name string) error {
	rt := c.find(name)
	if rt == nil {
		return nil
	}
	if err := rt.update(func(r *runtimeRecord) error { r.Deleting = true; return nil }); err != nil {
		return err
	}
	rt.loop.renew()
	c.tell(name)
	return nil
}

// ApplyVersion is part of lifecycle.Projector.
func (c *Cluster) ApplyVersion(_ context.Context, desired lifecycle.Version) error {
	rt := c.find(desired.Runtime)
	if rt == nil {
		return notThere(desired.Runtime)
	}
	v, other, err := rt.apply(desired)
	if err != nil {
		return err
	}
	if other {
		v.loop.renew()
		rt.loop.poke() // where the address leads may depend on it
	} else {
		v.loop.poke()
	}
	c.tell(rt.name)
	return nil
}

// deletePatience is how long the deletion of a version is waited for, since it is over in a moment as a rule.
const deletePatience = 5 * time.Second

// DeleteVersion is part of lifecycle.Projector.
func (c *Cluster) DeleteVersion(ctx context.Context, runtime, version string) error {
	rt := c.find(runtime)
	if rt == nil {
		return nil
	}
	gone, err := rt.delete(version)
	if err != nil || gone == nil {
		return err
	}
	c.tell(rt.name)
	patience := time.NewTimer(deletePatience)
	defer patience.Stop()
	select {
	case <-gone:
	case <-ctx.Done():
	case <-patience.C:
	}
	return nil // it is recorded, and goes on by itself
}

// discardDir removes a directory at once for everybody who looks, and then what is in it.
func (c *Cluster) discardDir(dir string) error {
	removed := filepath.Join(c.o.Dir, removedDir)
	if err := os.MkdirAll(removed, 0o700); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	aside, err := os.MkdirTemp(removed, filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := os.Rename(dir, filepath.Join(aside, "it")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := os.RemoveAll(aside); err != nil { // the next start tries again
		c.o.Log.Warn("removing files", zap.String("directory", aside), log.Error(err))
	}
	return nil
}
