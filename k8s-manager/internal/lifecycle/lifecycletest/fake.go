// Package lifecycletest is for tests of whatever uses or implements a lifecycle.Cluster: a cluster in memory, and the
// suite that each one passes.
package lifecycletest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
)

// Cluster is a lifecycle.Cluster in memory, in which everything becomes what it should be at once.
type Cluster struct {
	mu       sync.Mutex
	err      error
	runtimes map[string]*runtime
	changed  map[int]func(string)
	watches  int
}

type runtime struct {
	desired  lifecycle.Runtime
	reason   string
	versions map[string]lifecycle.Version
}

// NewCluster is a cluster without runtimes.
func NewCluster() *Cluster {
	return &Cluster{runtimes: make(map[string]*runtime), changed: make(map[int]func(string))}
}

// Fail makes every call answer with err from now on; nil ends that.
func (c *Cluster) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// Break gives a runtime the phase Error for a reason; an empty one mends it.
func (c *Cluster) Break(runtime, reason string) {
	c.mu.Lock()
	c.runtimes[runtime].reason = reason
	c.mu.Unlock()
	c.tell(runtime)
}

// Desired is the version as it was applied last; its zero value where it was not.
func (c *Cluster) Desired(runtime, version string) lifecycle.Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rt := c.runtimes[runtime]; rt != nil {
		return rt.versions[version]
	}
	return lifecycle.Version{}
}

func (c *Cluster) tell(name string) {
	c.mu.Lock()
	var all []func(string)
	for _, changed := range c.changed {
		all = append(all, changed)
	}
	c.mu.Unlock()
	for _, changed := range all {
		changed(name)
	}
}

// do makes a change to what is there and tells of it, unless it fails.
func (c *Cluster) do(name string, change func() error) error {
	err := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil {
			return c.err
		}
		return change()
	}()
	if err == nil {
		c.tell(name)
	}
	return err
}

// ApplyRuntime is part of lifecycle.Projector.
func (c *Cluster) ApplyRuntime(_ context.Context, desired lifecycle.Runtime) error {
	return c.do(desired.Name, func() error {
		rt := c.runtimes[desired.Name]
		if rt == nil {
			rt = &runtime{versions: make(map[string]lifecycle.Version)}
			c.runtimes[desired.Name] = rt
		}
		if err := lifecycle.CheckRevision("runtime "+desired.Name, rt.desired.Revision, desired.Revision); err != nil {
			return err
		}
		rt.desired = desired
		return nil
	})
}

// DeleteRuntime is part of lifecycle.Projector.
func (c *Cluster) DeleteRuntime(_ context.Context, name string) error {
	return c.do(name, func() error {
		delete(c.runtimes, name)
		return nil
	})
}

// ApplyVersion is part of lifecycle.Projector.
func (c *Cluster) ApplyVersion(_ context.Context, desired lifecycle.Version) error {
	return c.do(desired.Runtime, func() error {
		rt := c.runtimes[desired.Runtime]
		if rt == nil {
			return fault.New(fault.NotFound, "there is no runtime %q", desired.Runtime)
		}
		if err := lifecycle.CheckRevision("version "+desired.Name, rt.versions[desired.Name].Revision, desired.Revision); err != nil {
			return err
		}
		rt.versions[desired.Name] = desired
		return nil
	})
}

// DeleteVersion is part of lifecycle.Projector.
func (c *Cluster) DeleteVersion(_ context.Context, runtime, version string) error {
	return c.do(runtime, func() error {
		rt := c.runtimes[runtime]
		if rt == nil {
			return nil
		}
		if rt.versions[version].Running {
			return fault.New(fault.Precondition, "version %q runs: stop it first", version).For(lifecycle.ReasonRunning)
		}
		delete(rt.versions, version)
		return nil
	})
}

// Runtimes is part of lifecycle.Observer.
func (c *Cluster) Runtimes(context.Context) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.runtimes {
		names = append(names, name)
	}
	return names, c.err
}

// Observe is part of lifecycle.Observer.
func (c *Cluster) Observe(_ context.Context, name string) (lifecycle.RuntimeStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rt := c.runtimes[name]
	switch {
	case c.err != nil:
		return lifecycle.RuntimeStatus{}, c.err
	case rt == nil:
		return lifecycle.RuntimeStatus{}, fault.New(fault.NotFound, "there is no runtime %q", name)
	}
	s := lifecycle.RuntimeStatus{
		Name: name, Phase: lifecycle.Ready, Reason: rt.reason, Revision: rt.desired.Revision, ObserveTime: time.Now(),
		GRPCAddress: "127.0.0.1:9000", HTTPAddress: "http://127.0.0.1:8080", RuntimeAPIAddress: "127.0.0.1:9100",
	}
	if rt.reason != "" {
		s.Phase = lifecycle.Error
	}
	for _, v := range rt.versions {
		one := lifecycle.VersionStatus{Name: v.Name, Phase: lifecycle.Stopped, Revision: v.Revision, Digest: v.Digest}
		if v.Running {
			one.Phase, one.GRPCAddress, one.HTTPAddress = lifecycle.Started, "127.0.0.1:9001", "http://127.0.0.1:8081"
			if v.Name == rt.desired.PublishedVersion {
				s.PublishedVersion = v.Name
			}
		}
		s.Versions = append(s.Versions, one)
	}
	slices.SortFunc(s.Versions, func(a, b lifecycle.VersionStatus) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// Notify is part of lifecycle.Observer.
func (c *Cluster) Notify(changed func(runtime string)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches++
	id := c.watches
	c.changed[id] = changed
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.changed, id)
	}
}
