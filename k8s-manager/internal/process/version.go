package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

// entrypoint is the name of the one process of a version that is no node.
const entrypoint = "entrypoint-0"

// version is a version of a runtime, and who looks after it.
type version struct {
	rt   *runtime
	name string
	dir  string
	log  *zap.Logger
	loop *loop
	gone chan struct{} // closed when it is

	working sync.Mutex // held by a step, and by who ends the processes from elsewhere

	// The runtime's lock guards what follows.
	record     versionRecord
	kept       keptRecord
	plan       *plan            // of what runs; nil: nothing has been prepared since it stopped last
	parts      map[string]*part // by process
	preparedAt time.Time        // when the plan was made or made again; zero: by another program
	problem    error            // that keeps it from being what it should be
	trying     time.Time        // since when there is a problem; zero: there is none
	assured    bool             // the broker has been told of its account since it was there last
	doing      string           // what a step is busy with, for people
	rolling    bool             // processes may run with something else than they should
	orphans    bool             // a process may run, or be recorded as if it did, that is not among the parts
	stopAt     time.Time        // when a stop that is under way ends waiting for callers; zero: none is
	phase      lifecycle.Phase  // that was told last

	filesWritten map[string][]byte // configuration files as they are on disk; only steps use it
	filePaths    map[string]string
}

func newVersion(rt *runtime, name string) *version {
	v := &version{
		rt: rt, name: name, dir: rt.path(versionsDir, name), log: rt.log.With(log.Version(name)),
		gone: make(chan struct{}), parts: make(map[string]*part),
	}
	v.loop = newLoop(v.step)
	return v
}

func (v *version) path(parts ...string) string {
	return filepath.Join(append([]string{v.dir}, parts...)...)
}

func (v *version) stateFile(process string) string { return v.path(stateDir, process+".json") }

// load reads what should be, and what was, and takes up the processes that run and should.
func (v *version) load() error {
	if err := readJSON(v.path(versionFile), &v.record); err != nil {
		return err
	}
	if err := readJSON(v.path(keptFile), &v.kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.log.Error("what was kept of a version is lost", log.Error(err))
	}
	v.orphans = v.anyRecorded(func(r proc.Record) bool { return r.State != proc.StateStopped })
	plan, err := readPlan(v.path(planFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		v.log.Error("the plan of a version is lost; it is made again", log.Error(err))
	case v.anyRecorded(func(r proc.Record) bool { return r.PID != 0 }): // else the broker's side may have gone, too: it is prepared again
		v.plan = plan
	}
	if v.plan != nil && v.wanted() && v.plan.digest == v.record.Digest {
		if err := v.takeUp(); err != nil {
			v.log.Warn("the processes of a version cannot be taken up yet", log.Error(err))
		}
	}
	v.phase = v.lookPhase()
	return nil
}

// takeUp begins to look after what runs, before anybody asks what is.
func (v *version) takeUp() error {
	jobs, err := v.jobs(v.plan, v.record, v.kept)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if lastRecord(v.stateFile(j.process)).PID == 0 {
			continue
		}
		if err := v.run(context.Background(), j); err != nil {
			return err
		}
		v.rolling = v.rolling || v.parts[j.process].stale(j.stamp)
	}
	return nil
}

// recorded names the processes that have ever been started.
func (v *version) recorded() []string {
	entries, err := os.ReadDir(v.path(stateDir))
	if err != nil {
		return nil // it was never started
	}
	var names []string
	for _, entry := range entries {
		name, isState := strings.CutSuffix(entry.Name(), ".json")
		if isState && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names
}

// anyRecorded tells whether the record of any process is such.
func (v *version) anyRecorded(is func(proc.Record) bool) bool {
	return slices.ContainsFunc(v.recorded(), func(name string) bool { return is(lastRecord(v.stateFile(name))) })
}

// write records what should be; the caller has the lock.
func (v *version) write(record versionRecord) error {
	if err := writeJSON(v.path(versionFile), record); err != nil {
		return fmt.Errorf("record what should be of version %s: %w", v.name, err)
	}
	v.record = record
	return nil
}

// keep changes what is kept of it, on disk first.
func (v *version) keep(change func(*keptRecord)) error {
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	kept := v.kept
	change(&kept)
	if kept == v.kept {
		return nil
	}
	if err := writeJSON(v.path(keptFile), kept); err != nil {
		return fmt.Errorf("keep what has to be known of version %s: %w", v.name, err)
	}
	v.kept = kept
	return nil
}

// changed is called when something about its processes has changed.
func (v *version) changed() {
	v.loop.poke()
	v.rt.c.tell(v.rt.name)
}

// step makes the version a little more what it should be.
func (v *version) step(ctx context.Context) error {
	v.working.Lock()
	defer v.working.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v.rt.mu.Lock()
	record, over := v.record, v.rt.record.Deleting
	v.rt.mu.Unlock()
	var err error
	switch {
	case over:
		return errOver
	case record.Deleting:
		err = v.remove(ctx)
	case record.Running:
		err = v.start(ctx, record)
	default:
		err = v.stop(ctx, record)
	}
	if errors.Is(err, errOver) {
		return err
	}
	if ctx.Err() == nil {
		v.setProblem(err)
	}
	v.setDoing("")
	v.tellPhase()
	return err
}

func (v *version) setProblem(err error) {
	v.rt.mu.Lock()
	before := v.problem
	v.problem = err
	switch {
	case err == nil:
		v.trying = time.Time{}
	case v.trying.IsZero():
		v.trying = time.Now()
	}
	v.rt.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		v.log.Warn("a version is not as it should be; trying on", log.Error(err))
	}
}

// setDoing says what a step is busy with.
func (v *version) setDoing(what string) {
	v.rt.mu.Lock()
	same := v.doing == what
	v.doing = what
	v.rt.mu.Unlock()
	if !same {
		v.rt.c.tell(v.rt.name)
	}
}

// tellPhase has the runtime looked at where the phase has changed: the address may wait for it.
func (v *version) tellPhase() {
	v.rt.mu.Lock()
	before := v.phase
	after, reason := v.look()
	v.phase = after
	v.rt.mu.Unlock()
	v.rt.c.tell(v.rt.name)
	if before != after {
		v.log.Info("a version is in another phase", zap.Stringer("phase", after), zap.Stringer("before", before),
			zap.String("reason", reason))
		v.rt.loop.poke()
	}
}

// The following need the lock.

// wanted tells whether it should run.
func (v *version) wanted() bool { return v.record.Running && !v.record.Deleting }

func (v *version) started() bool { return v.lookPhase() == lifecycle.Started }

func (v *version) entrypointReady() bool { return v.parts[entrypoint].ready() }

// address is where its entrypoint listens, or will.
func (v *version) address() addressRecord {
	if v.kept.GRPCPort == 0 {
		return addressRecord{}
	}
	return addressRecord{GRPC: ports.Address(ports.Loopback, v.kept.GRPCPort), HTTP: ports.Address(ports.Loopback, v.kept.HTTPPort)}
}

// runsSomething tells whether any process of it runs.
func (v *version) runsSomething() bool {
	for _, p := range v.parts {
		if !p.ended() {
			return true
		}
	}
	return v.orphans
}

// endAll ends every process of it; those of the entrypoint first. It takes the version out of the hands of its loop.
func (v *version) endAll(ctx context.Context, grace time.Duration) error {
	v.working.Lock()
	defer v.working.Unlock()
	return v.endInOrder(ctx, grace)
}

// endInOrder ends the entrypoint and then the nodes, each within its own grace but none later than another one.
func (v *version) endInOrder(ctx context.Context, grace time.Duration) error {
	if err := v.endProcesses(ctx, min(grace, entrypointGrace), isEntrypoint); err != nil {
		return err
	}
	if err := v.endProcesses(ctx, min(grace, nodeGrace), isNode); err != nil {
		return err
	}
	v.noOrphans()
	return nil
}

// noOrphans says that whatever runs is among the parts.
func (v *version) noOrphans() {
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	v.orphans = false
}

func isEntrypoint(process string) bool { return process == entrypoint }
func isNode(process string) bool       { return process != entrypoint }

// endProcesses ends some processes at the same time, be they looked after or not. Only who holds working calls it; which is
// called with the lock.
func (v *version) endProcesses(ctx context.Context, grace time.Duration, which func(process string) bool) error {
	v.rt.mu.Lock()
	parts := make(map[string]*part)
	for _, process := range v.recorded() {
		if which(process) {
			parts[process] = nil
		}
	}
	for process, p := range v.parts {
		if which(process) {
			parts[process] = p
			p.asked = true
		}
	}
	v.rt.mu.Unlock()
	if len(parts) == 0 {
		return nil
	}
	v.rt.c.tell(v.rt.name)
	var ending sync.WaitGroup
	var mu sync.Mutex
	var all error
	for process, p := range parts {
		ending.Go(func() {
			err := error(nil)
			if p != nil {
				err = p.end(ctx, grace)
			} else {
				err = proc.EndRecorded(ctx, v.stateFile(process), grace)
			}
			mu.Lock()
			defer mu.Unlock()
			all = errors.Join(all, err)
		})
	}
	ending.Wait()
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	for process, p := range parts {
		if p != nil && p.ended() && v.parts[process] == p {
			delete(v.parts, process)
		}
	}
	return all
}
