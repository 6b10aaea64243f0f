package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/proc"
)

// remove makes the runtime disappear, whatever an earlier attempt has done already.
func (rt *runtime) remove(ctx context.Context) error {
	if err := rt.endVersions(ctx); err != nil {
		return err
	}
	if err := rt.endBase(ctx, &rt.address, "address", addressGrace); err != nil {
		return err
	}
	if !rt.now().PackagesRemoved {
		if err := rt.keepBase(ctx); err != nil {
			return err
		}
		api, err := rt.runtimeAPI()
		if err != nil {
			return err
		}
		if err := api.RemovePackages(ctx); err != nil {
			return fmt.Errorf("remove the packages of the runtime: %w", err)
		}
		if err := rt.update(func(r *runtimeRecord) error { r.PackagesRemoved = true; return nil }); err != nil {
			return err
		}
	}
	if err := rt.endBase(ctx, &rt.api, "runtime-api", apiGrace); err != nil {
		return err
	}
	if err := rt.removeAccounts(ctx); err != nil {
		return err
	}
	if err := rt.c.discardDir(rt.dir); err != nil {
		return err
	}
	record := rt.now()
	rt.c.ports.giveBack(record.GRPCPort, record.HTTPPort, record.APIPort)
	rt.disconnect()
	rt.c.mu.Lock()
	delete(rt.c.runtimes, rt.name)
	rt.c.mu.Unlock()
	rt.log.Info("a runtime is gone")
	rt.c.tell(rt.name)
	return errOver
}

// removeAccounts removes the NATS accounts of the versions and the runtime's own.
func (rt *runtime) removeAccounts(ctx context.Context) error {
	rt.mu.Lock()
	versions := slices.Collect(maps.Values(rt.versions))
	rt.mu.Unlock()
	for _, v := range versions {
		if err := v.removeAccount(ctx); err != nil {
			return err
		}
	}
	if err := rt.c.o.Accounts.Remove(ctx, rt.name, rt.dir); err != nil {
		return fmt.Errorf("remove the runtime's NATS account: %w", err)
	}
	return nil
}

// endVersions ends every version at once, without letting it drain: what is stored goes with the runtime.
func (rt *runtime) endVersions(ctx context.Context) error {
	rt.mu.Lock()
	var versions []*version
	for _, v := range rt.versions {
		versions = append(versions, v)
	}
	rt.mu.Unlock()
	var ending sync.WaitGroup
	errs := make([]error, len(versions))
	for i, v := range versions {
		ending.Go(func() {
			v.loop.renew() // its own loop sees that the runtime is being deleted, and ends
			if errs[i] = v.endAll(ctx, time.Second); errs[i] == nil {
				rt.c.ports.giveBack(v.kept.GRPCPort, v.kept.HTTPPort)
			}
		})
	}
	ending.Wait()
	return errors.Join(errs...)
}

// endBase ends one of the runtime's own processes, be it looked after or not.
func (rt *runtime) endBase(ctx context.Context, p **part, name string, grace time.Duration) error {
	rt.mu.Lock()
	current := *p
	rt.mu.Unlock()
	if current == nil {
		return proc.EndRecorded(ctx, rt.path(name, "state.json"), grace)
	}
	if err := current.end(ctx, grace); err != nil {
		return err
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	*p = nil
	return nil
}

// remove makes the version disappear.
func (v *version) remove(ctx context.Context) error {
	if err := v.endInOrder(ctx, time.Second); err != nil {
		return err
	}
	if err := v.letOut(ctx); err != nil {
		return err
	}
	api, err := v.rt.runtimeAPI()
	if err != nil {
		return err
	}
	if err := api.Remove(ctx, v.name); err != nil {
		return fmt.Errorf("remove what the version has at the broker: %w", err)
	}
	if err := v.removeAccount(ctx); err != nil {
		return err
	}
	if err := v.rt.c.discardDir(v.dir); err != nil {
		return err
	}
	v.rt.c.ports.giveBack(v.kept.GRPCPort, v.kept.HTTPPort)
	v.rt.forget(v)
	if err := v.rt.sweepPackages(); err != nil {
		v.log.Warn("removing packages that no version names", log.Error(err))
	}
	v.log.Info("a version is gone")
	v.rt.changed()
	return errOver
}
