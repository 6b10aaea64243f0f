package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// askDrain is how often it is asked whether somebody still waits.
const askDrain = 100 * time.Millisecond

// stop makes the version not run. What remains stored is counted, and dropped if that is wanted.
func (v *version) stop(ctx context.Context, record versionRecord) error {
	v.rt.mu.Lock()
	runs, led := v.runsSomething(), v.rt.leads == v.name || v.rt.record.Leads == v.name
	v.rt.mu.Unlock()
	if runs {
		if led {
			v.rt.loop.poke() // when it does not any more, the next step comes
			return fault.New(fault.Unavailable, "the stable address still leads to it")
		}
		if err := v.drainAndEnd(ctx, record); err != nil {
			return err
		}
	}
	v.clearStop()
	if err := v.letOut(ctx); err != nil {
		return err
	}
	if err := v.forgetPlan(); err != nil {
		return err
	}
	if err := v.keep(func(k *keptRecord) { k.Closed = false }); err != nil {
		return err
	}
	return v.settle(ctx, record)
}

// clearStop says that no stop is under way.
func (v *version) clearStop() {
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	v.stopAt = time.Time{}
}

// settle counts what remains stored after the last stop, and drops it if that is wanted.
func (v *version) settle(ctx context.Context, record versionRecord) error {
	v.rt.mu.Lock()
	unsettled, discard := v.unsettled(record), v.discards(record)
	v.rt.mu.Unlock()
	if !unsettled {
		return nil
	}
	api, err := v.rt.runtimeAPI()
	if err != nil {
		return err
	}
	if discard {
		v.setDoing("the messages that are still stored are being dropped")
		if err := api.Discard(ctx, v.name); err != nil {
			return fmt.Errorf("drop the stored messages: %w", err)
		}
	}
	v.setDoing("the messages that are still stored are being counted")
	stored, err := api.Count(ctx, v.name)
	if err != nil {
		return fmt.Errorf("count the stored messages: %w", err)
	}
	if err := api.Release(ctx, v.name); err != nil {
		return fmt.Errorf("tell runtime-api that nothing of the version runs: %w", err)
	}
	return v.keep(func(k *keptRecord) {
		k.Counted, k.Stored = true, stored
		if discard {
			k.Discarded = record.Revision
		}
	})
}

// unsettled tells whether what remains stored is not known yet, or has yet to be dropped; the caller has the lock.
func (v *version) unsettled(record versionRecord) bool {
	return v.kept.RanDigest != "" && !v.kept.Counted || v.discards(record)
}

// discards tells whether what remains stored has yet to be dropped; the caller has the lock.
func (v *version) discards(record versionRecord) bool {
	return v.kept.RanDigest != "" && record.Discard && v.kept.Discarded < record.Revision
}

// drainAndEnd lets callers have their answers and nodes their messages, each within the drain time, and ends all
// processes. However often it is interrupted and done again, it waits no longer.
func (v *version) drainAndEnd(ctx context.Context, record versionRecord) error {
	drain := record.desired(v.rt.name, v.name).DrainTime()
	v.rt.mu.Lock()
	if v.stopAt.IsZero() {
		v.stopAt = time.Now().Add(drain)
	}
	until := v.stopAt
	v.rt.mu.Unlock()
	v.tellPhase()
	v.drainCallers(ctx, until)
	if ctx.Err() == nil {
		v.drainStreams(ctx, until)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v.setDoing("its processes are ending")
	return v.endInOrder(ctx, max(entrypointGrace, nodeGrace))
}

// drainCallers closes the entrypoint and waits until nobody waits there.
func (v *version) drainCallers(ctx context.Context, until time.Time) {
	command := runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_CLOSE
	if err := v.keep(func(k *keptRecord) { k.Closed = true }); err != nil {
		v.log.Error("stopping goes on", log.Error(err))
	}
	v.poll(ctx, until, "callers", func(api RuntimeAPI) (done bool, err error) {
		v.rt.mu.Lock()
		there := v.entrypointMayServe()
		v.rt.mu.Unlock()
		if !there {
			return true, nil
		}
		instances, waiting, err := api.Command(ctx, v.name, command)
		if err != nil {
			return false, err
		}
		if instances == 0 {
			return false, fault.New(fault.Unavailable, "the entrypoint does not answer")
		}
		v.setDoing(fmt.Sprintf("its entrypoint takes no calls; %d still wait for an answer", waiting))
		return waiting == 0, nil
	})
}

// entrypointMayServe tells whether there is an entrypoint that is or was ready; the caller has the lock.
func (v *version) entrypointMayServe() bool {
	if p := v.parts[entrypoint]; p != nil {
		return p.ready()
	}
	r := lastRecord(v.stateFile(entrypoint))
	return r.PID != 0
}

// drainStreams waits until no messages are stored, if there is anybody to handle them.
func (v *version) drainStreams(ctx context.Context, until time.Time) {
	v.poll(ctx, until, "streams", func(api RuntimeAPI) (done bool, err error) {
		v.rt.mu.Lock()
		work := v.nodesMayWork()
		v.rt.mu.Unlock()
		if !work {
			return true, nil
		}
		stored, err := api.Count(ctx, v.name)
		if err != nil {
			return false, err
		}
		v.setDoing(fmt.Sprintf("its nodes work on; %d messages are still stored", stored))
		return stored == 0, nil
	})
}

// nodesMayWork tells whether any node can handle messages; the caller has the lock.
func (v *version) nodesMayWork() bool {
	for process, p := range v.parts {
		if isNode(process) && p.runs() {
			return true
		}
	}
	for _, process := range v.recorded() {
		if v.parts[process] == nil && isNode(process) && lastRecord(v.stateFile(process)).PID != 0 {
			return true
		}
	}
	return false
}

// poll asks again and again until it is done, or for as long as it may take. Who cannot be asked is waited for: the time is
// bounded.
func (v *version) poll(ctx context.Context, until time.Time, what string, ask func(RuntimeAPI) (done bool, err error)) {
	var last error
	for {
		api, err := v.rt.runtimeAPI()
		done := false
		if err == nil {
			done, err = ask(api)
		}
		if done {
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) && (last == nil || last.Error() != err.Error()) {
			v.log.Warn("a version that is stopping cannot be asked whether it is done; trying on", log.Error(err))
			last = err
		}
		if !time.Now().Before(until) {
			v.log.Info("a version is stopped although it is not done: its time is over", log.Node(what))
			return
		}
		if !sleep(ctx, min(askDrain, time.Until(until)+time.Millisecond)) {
			return
		}
	}
}
