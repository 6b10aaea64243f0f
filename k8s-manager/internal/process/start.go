package process

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// start makes the version run as it should. It waits for no process: whatever happens to one brings the next step.
func (v *version) start(ctx context.Context, record versionRecord) error {
	v.rt.mu.Lock()
	current := v.plan
	v.rt.mu.Unlock()
	if current != nil && current.digest != record.Digest {
		v.setDoing("another package of it ran before, which is being ended")
		if err := v.drainAndEnd(ctx, record); err != nil {
			return err
		}
		if err := v.forgetPlan(); err != nil {
			return err
		}
		current = nil
	}
	v.clearStop()
	mine, err := v.rt.c.made()
	if err != nil {
		return err
	}
	if current == nil {
		if err := v.bury(ctx); err != nil {
			return err
		}
		if err := v.letOut(ctx); err != nil { // of an earlier start that did not end in order
			return err
		}
		if err := v.openAccount(ctx); err != nil {
			return err
		}
	}
	v.keepAccount(ctx)
	if current == nil || current.made != mine {
		if current, err = v.prepare(ctx, record); err != nil {
			return err
		}
	}
	if err := v.freePorts(ctx); err != nil {
		return err
	}
	v.rt.mu.Lock()
	kept := v.kept
	v.rt.mu.Unlock()
	jobs, err := v.jobs(current, record, kept)
	if err != nil {
		return err
	}
	if err := v.endOthers(ctx, jobs); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := v.run(ctx, j); err != nil {
			return err
		}
	}
	v.noOrphans()
	v.tellPhase()
	if err := v.prepareAgain(ctx); err != nil {
		return err
	}
	if err := v.roll(ctx, jobs); err != nil {
		return err
	}
	return v.reopen(ctx)
}

// bury makes records say that the processes have ended which did so while nobody looked, so that their end is not taken for
// a failure of the next start.
func (v *version) bury(ctx context.Context) error {
	v.rt.mu.Lock()
	orphans := v.orphans
	v.rt.mu.Unlock()
	if !orphans {
		return nil
	}
	return v.endInOrder(ctx, nodeGrace)
}

// freePorts gives the entrypoint other ports where somebody has taken one while it did not run.
func (v *version) freePorts(ctx context.Context) error {
	v.rt.mu.Lock()
	kept, p := v.kept, v.parts[entrypoint]
	runs := p.mayRun(v.stateFile(entrypoint))
	v.rt.mu.Unlock()
	if runs || kept.GRPCPort == 0 || ports.Free(ports.Loopback, kept.GRPCPort) && ports.Free(ports.Loopback, kept.HTTPPort) {
		return nil
	}
	v.log.Warn("somebody else has taken a port of the entrypoint: it gets others",
		zap.Int("grpc_port", kept.GRPCPort), zap.Int("http_port", kept.HTTPPort))
	if err := v.endProcesses(ctx, 0, isEntrypoint); err != nil {
		return err
	}
	if err := v.keep(func(k *keptRecord) { k.GRPCPort, k.HTTPPort = 0, 0 }); err != nil {
		return err
	}
	v.rt.c.ports.giveBack(kept.GRPCPort, kept.HTTPPort)
	if err := v.keepPorts(); err != nil {
		return err
	}
	v.rt.loop.poke() // the address may lead there
	return nil
}

// endOthers ends processes that an earlier package had and this one has not.
func (v *version) endOthers(ctx context.Context, jobs []job) error {
	return v.endProcesses(ctx, nodeGrace, func(process string) bool {
		return !slices.ContainsFunc(jobs, func(j job) bool { return j.process == process }) &&
			(v.parts[process] != nil || lastRecord(v.stateFile(process)).PID != 0)
	})
}

// run starts a process of the version or takes up the one that runs, unless it is looked after already.
func (v *version) run(ctx context.Context, j job) error {
	v.rt.mu.Lock()
	p := v.parts[j.process]
	v.rt.mu.Unlock()
	if p != nil && p.asked { // a stop was called off: it ends, and is started again
		select {
		case <-p.process.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p != nil && !p.ended() {
		return nil
	}
	spec, err := j.command.Place(j.process, v.path(processesDir, j.process))
	if err != nil {
		return err
	}
	spec.Name = filepath.Join(v.rt.name, v.name, j.process)
	spec.Detached = &proc.Detached{
		StateFile: v.stateFile(j.process), LogFile: v.path(logsDir, j.process+".log"), Stamp: j.stamp,
	}
	started := v.rt.c.startPart(spec, v.changed)
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	v.parts[j.process] = started
	return nil
}

// roll replaces processes that run with something else than they should: those that are not ready at once, the others
// one at a time, each when all are ready. A message waits for the node that is away, so no request is refused.
func (v *version) roll(ctx context.Context, jobs []job) error {
	var ready, stale []job
	all := true
	v.rt.mu.Lock()
	for _, j := range jobs {
		p := v.parts[j.process]
		isReady := p.ready()
		all = all && isReady
		switch {
		case !p.stale(j.stamp):
		case isReady:
			ready = append(ready, j)
		default:
			stale = append(stale, j)
		}
	}
	v.rolling = len(stale)+len(ready) > 0
	v.rt.mu.Unlock()
	if len(stale) == 0 && all && len(ready) > 0 {
		// The entrypoint, which comes first, is replaced last.
		stale = ready[len(ready)-1:]
	}
	if len(stale) == 0 {
		return nil
	}
	err := v.endProcesses(ctx, nodeGrace, func(process string) bool {
		return slices.ContainsFunc(stale, func(j job) bool { return j.process == process })
	})
	if err != nil {
		return err
	}
	for _, j := range stale {
		if err := v.run(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// reopen has the entrypoint take calls again, if a stop that was called off had closed it.
func (v *version) reopen(ctx context.Context) error {
	v.rt.mu.Lock()
	closed, ready := v.kept.Closed, v.entrypointReady()
	v.rt.mu.Unlock()
	if !closed || !ready {
		return nil
	}
	api, err := v.rt.runtimeAPI()
	if err != nil {
		return err
	}
	instances, _, err := api.Command(ctx, v.name, runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_OPEN)
	if err != nil {
		return fmt.Errorf("open the entrypoint again: %w", err)
	}
	if instances == 0 {
		return fault.New(fault.Unavailable, "the entrypoint does not answer: it cannot be told to take calls again")
	}
	return v.keep(func(k *keptRecord) { k.Closed = false })
}
