package process

import (
	"context"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/log"
)

// How long everything may take to end when all of it ends.
const (
	shutDrain = 5 * time.Second
	shutGrace = 5 * time.Second
)

// shutDown ends the processes of a runtime that no loop looks after any more.
func (rt *runtime) shutDown(ctx context.Context) {
	rt.mu.Lock()
	var versions []*version
	for _, v := range rt.versions {
		versions = append(versions, v)
	}
	rt.mu.Unlock()
	var ending sync.WaitGroup
	for _, v := range versions {
		ending.Go(func() { v.shutDown(ctx) })
	}
	ending.Wait()
	ending.Go(func() { rt.shutDownBase(ctx, &rt.api, "runtime-api") })
	ending.Go(func() { rt.shutDownBase(ctx, &rt.address, "address") })
	ending.Wait()
}

func (rt *runtime) shutDownBase(ctx context.Context, p **part, name string) {
	if err := rt.endBase(ctx, p, name, shutGrace); err != nil {
		rt.log.Error("ending a process of a runtime", log.Error(err))
	}
}

func (v *version) shutDown(ctx context.Context) {
	v.working.Lock()
	v.rt.mu.Lock()
	runs := v.runsSomething()
	v.rt.mu.Unlock()
	if runs {
		v.drainCallers(ctx, time.Now().Add(shutDrain))
	}
	v.working.Unlock()
	if !runs {
		return
	}
	if err := v.endAll(ctx, shutGrace); err != nil {
		v.log.Error("ending the processes of a version", log.Error(err))
		return
	}
	if err := v.keep(func(k *keptRecord) { k.Closed = false }); err != nil {
		v.log.Error("ending a version", log.Error(err))
	}
}
