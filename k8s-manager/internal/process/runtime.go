package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
)

// runtime is a runtime of this machine, and who looks after it.
type runtime struct {
	c    *Cluster
	name string
	dir  string
	log  *zap.Logger
	loop *loop

	mu       sync.Mutex // guards what follows, and the versions
	record   runtimeRecord
	versions map[string]*version
	api      *part // runtime-api
	address  *part // holds the stable address
	client   RuntimeAPI
	dialled  string // where client calls
	assured  bool   // the broker has been told of the account since it was there last
	problem  error  // that keeps the base components from being ready
	leads    string // version that the address has acknowledged
	told     told
	looked   chan struct{} // closed when the processes of the runtime itself have been looked at
	lookOnce sync.Once
}

// told is what the versions of a runtime were told last.
type told struct {
	apiReady bool
	leads    string
}

func newRuntime(c *Cluster, name string) *runtime {
	rt := &runtime{
		c: c, name: name, dir: filepath.Join(c.o.Dir, runtimesDir, name), log: c.o.Log.With(log.Runtime(name)),
		versions: make(map[string]*version), looked: make(chan struct{}),
	}
	rt.loop = newLoop(rt.step)
	return rt
}

func (rt *runtime) path(parts ...string) string {
	return filepath.Join(append([]string{rt.dir}, parts...)...)
}

// begin starts to look after the runtime and its versions.
func (rt *runtime) begin() {
	rt.mu.Lock()
	versions := make([]*version, 0, len(rt.versions))
	for _, v := range rt.versions {
		versions = append(versions, v)
	}
	rt.mu.Unlock()
	rt.c.begin(rt.loop)
	for _, v := range versions {
		rt.c.begin(v.loop)
	}
}

// loadVersions finds the versions in the directory, and removes what a crash has left half-written beside them.
func (rt *runtime) loadVersions() {
	if err := rt.sweepHalfFetched(); err != nil {
		rt.log.Warn("cleaning up packages", log.Error(err))
	}
	entries, err := os.ReadDir(rt.path(versionsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		rt.log.Error("looking for versions", log.Error(err))
	}
	for _, entry := range entries {
		v := newVersion(rt, entry.Name())
		if err := sweepPartial(v.dir); err != nil {
			rt.log.Warn("looking at a version", log.Version(v.name), log.Error(err))
		}
		if _, err := os.Stat(v.dir); errors.Is(err, fs.ErrNotExist) {
			continue // it had only just been begun
		}
		if err := v.load(); err != nil {
			rt.log.Error("a version cannot be read and is left alone", log.Version(v.name), log.Error(err))
			continue
		}
		rt.versions[v.name] = v
		rt.c.ports.keep(v.kept.GRPCPort, v.kept.HTTPPort)
	}
	rt.leads = rt.acknowledged()
}

// update changes the record, on disk first. When change fails nothing is changed.
func (rt *runtime) update(change func(*runtimeRecord) error) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.updateLocked(change)
}

func (rt *runtime) updateLocked(change func(*runtimeRecord) error) error {
	record := rt.record
	record.Moving = slices.Clone(record.Moving)
	if err := change(&record); err != nil {
		return err
	}
	if reflect.DeepEqual(record, rt.record) {
		return nil
	}
	if err := writeJSON(rt.path(runtimeFile), record); err != nil {
		return fmt.Errorf("record what should be of runtime %s: %w", rt.name, err)
	}
	rt.record = record
	return nil
}

func (rt *runtime) now() runtimeRecord {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.record
}

// changed is called when something about the processes of the runtime itself has changed.
func (rt *runtime) changed() {
	rt.loop.poke()
	rt.c.tell(rt.name)
}

// step makes the runtime a little more what it should be.
func (rt *runtime) step(ctx context.Context) error {
	defer rt.lookOnce.Do(func() { close(rt.looked) })
	if rt.now().Deleting {
		err := rt.remove(ctx)
		if err != nil && !errors.Is(err, errOver) && ctx.Err() == nil {
			rt.setProblem(err)
		}
		return err
	}
	baseErr := rt.keepBase(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	rt.setProblem(baseErr)
	rt.tellVersions()
	err := errors.Join(baseErr, rt.publish(ctx))
	rt.tellVersions()
	rt.c.tell(rt.name)
	return err
}

func (rt *runtime) setProblem(err error) {
	rt.mu.Lock()
	before := rt.problem
	rt.problem = err
	rt.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		rt.log.Warn("a runtime is not as it should be; trying on", log.Error(err))
	}
}

// tellVersions has the versions looked at if what they wait for has changed.
func (rt *runtime) tellVersions() {
	rt.mu.Lock()
	news := told{apiReady: rt.api.ready(), leads: rt.leads}
	var versions []*version
	if news != rt.told {
		rt.told = news
		for _, v := range rt.versions {
			versions = append(versions, v)
		}
	}
	rt.mu.Unlock()
	for _, v := range versions {
		v.loop.poke()
	}
}

// runtimeAPI is the runtime's service. fault.Unavailable: it is not ready.
func (rt *runtime) runtimeAPI() (RuntimeAPI, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if !rt.api.ready() {
		return nil, fault.New(fault.Unavailable, "the runtime's own service, runtime-api, is not ready%s", because(rt.api))
	}
	at := rt.record.apiAddress(rt.dir)
	if rt.client != nil && rt.dialled == at {
		return rt.client, nil
	}
	client, err := rt.c.o.Dial(at)
	if err != nil {
		return nil, fmt.Errorf("call runtime-api: %w", err)
	}
	if rt.client != nil {
		_ = rt.client.Close() // nothing is under way: it led nowhere
	}
	rt.client, rt.dialled = client, at
	return client, nil
}

// because tells why a process is not ready, where it is known.
func because(p *part) string {
	if p == nil {
		return ""
	}
	if text := failure(p.record()); text != "" {
		return " (" + text + ")"
	}
	return ""
}

func (rt *runtime) disconnect() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.client != nil {
		_ = rt.client.Close() // the program ends, or the runtime
		rt.client = nil
	}
}

// apply records what should be of a version. other: it is something else than before.
func (rt *runtime) apply(desired lifecycle.Version) (v *version, other bool, err error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.record.Deleting {
		return nil, false, beingDeleted("runtime", rt.name)
	}
	v = rt.versions[desired.Name]
	if v == nil {
		v, err = rt.createVersion(desired)
		return v, true, err
	}
	if v.record.Deleting {
		return nil, false, fault.New(fault.Unavailable, "version %q is being deleted: try again in a moment", v.name).For(lifecycle.ReasonDeleting)
	}
	if err := lifecycle.CheckRevision("version "+v.name, v.record.Revision, desired.Revision); err != nil {
		return nil, false, err
	}
	before := v.record.desired(rt.name, v.name)
	if desired.Equal(before) {
		return v, false, nil
	}
	if err := v.write(recordOf(desired)); err != nil {
		return nil, false, err
	}
	other = !desired.SameWish(before)
	v.rolling = v.rolling || other
	return v, other, nil
}

// createVersion makes a version; the caller has the lock.
func (rt *runtime) createVersion(desired lifecycle.Version) (*version, error) {
	v := newVersion(rt, desired.Name)
	_, err := os.Stat(v.dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	err = os.MkdirAll(v.dir, 0o700)
	if err == nil {
		err = v.write(recordOf(desired))
	}
	if err != nil {
		if fresh {
			err = errors.Join(err, os.RemoveAll(v.dir))
		}
		return nil, fmt.Errorf("make version %s: %w", v.name, err)
	}
	rt.versions[v.name] = v
	rt.c.begin(v.loop)
	return v, nil
}

// delete records that a version is no longer wanted; gone is closed when it is gone, nil where it is not there.
func (rt *runtime) delete(name string) (gone <-chan struct{}, err error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	v := rt.versions[name]
	switch {
	case v == nil || rt.record.Deleting:
		return nil, nil
	case v.record.Deleting:
		return v.gone, nil
	case v.record.Running:
		return nil, fault.New(fault.Precondition, "version %q runs: stop it first", name).For(lifecycle.ReasonRunning)
	case v.runsSomething():
		return nil, fault.New(fault.Precondition, "version %q is still stopping: delete it once it has stopped", name).
			For(lifecycle.ReasonRunning)
	}
	record := v.record
	record.Deleting = true
	if err := v.write(record); err != nil {
		return nil, err
	}
	v.loop.renew()
	return v.gone, nil
}

// forget removes a version that is gone.
func (rt *runtime) forget(v *version) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.versions[v.name] == v {
		delete(rt.versions, v.name)
	}
	close(v.gone)
}
