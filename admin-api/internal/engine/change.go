package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
)

// errNothing ends a change that has nothing to change, in success.
var errNothing = errors.New("nothing to change")

// attempts is how often a change is tried when others come first.
const attempts = 50

// change changes a runtime in one write. The function is given a fresh copy and may be called several times; its error ends
// the change and is returned, errNothing as nil with the runtime as it is.
func (e *Engine) change(ctx context.Context, name string, change func(*Runtime) error) (Runtime, error) {
	for attempt := range attempts {
		runtime, err := e.runtime(ctx, name)
		if err != nil {
			return Runtime{}, err
		}
		before := runtime.Revision
		runtime.Versions = slices.Clone(runtime.Versions)
		runtime.Revision++
		if err := change(&runtime); err != nil {
			if errors.Is(err, errNothing) {
				runtime.Revision = before
				return runtime, nil
			}
			return Runtime{}, err
		}
		err = e.Store.ReplaceRuntime(ctx, runtime, before)
		if err == nil {
			e.changed(runtime.Name)
			return runtime, nil
		}
		if fault.KindOf(err) != fault.Conflict {
			return Runtime{}, storeError(err)
		}
		wait(ctx, time.Duration(attempt)*time.Millisecond)
	}
	return Runtime{}, fault.New(fault.Conflict, "too many people change runtime %s at once; try again", name).For(ReasonConflict, "runtime", name)
}

// runtime reads a runtime.
func (e *Engine) runtime(ctx context.Context, name string) (Runtime, error) {
	runtime, err := e.Store.Runtime(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return Runtime{}, noRuntime(name)
	}
	return runtime, storeError(err)
}

// storeError is an error of the store as the caller may know it; nil stays nil.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	if fault.KindOf(err) == fault.Unavailable {
		return unavailable("the store", err)
	}
	return err
}

// changed wakes the loop and the watchers of this replica.
func (e *Engine) changed(runtime string) {
	select {
	case e.wake <- runtime:
	default: // the loop looks at everything soon anyway
	}
	e.observed.mu.Lock()
	defer e.observed.mu.Unlock()
	e.observed.tell()
}

// note adds to the runtime's outbox who does what.
func note(ctx context.Context, runtime *Runtime, action, version, comment string, details map[string]string) {
	runtime.Outbox = append(slices.Clone(runtime.Outbox), Activity{
		Time: now(), Actor: actorOf(ctx), Action: action, Runtime: runtime.Name, Version: version, Comment: comment,
		Revision: runtime.Revision, Details: details,
	})
}

// entry finds a version in a runtime.
func (r *Runtime) entry(version string) *Entry {
	for i := range r.Versions {
		if r.Versions[i].Name == version {
			return &r.Versions[i]
		}
	}
	return nil
}

// remove takes a version out of a runtime, for good.
func (r *Runtime) remove(version string) {
	r.Versions = slices.DeleteFunc(r.Versions, func(e Entry) bool { return e.Name == version })
	r.Gone = append(slices.Clone(r.Gone), Gone{Name: version, Revision: r.Revision})
	if len(r.Gone) > maxGone {
		r.Gone = r.Gone[len(r.Gone)-maxGone:]
	}
}

// wait pauses, unless ctx ends before.
func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func errorField(err error) zap.Field { return zap.NamedError("error", err) }
