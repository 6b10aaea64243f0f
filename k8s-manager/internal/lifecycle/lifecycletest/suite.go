package lifecycletest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
)

const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

// World is a cluster under test.
type World struct {
	Cluster lifecycle.Cluster
	// Version is a version that becomes ready when it runs, with revision 1; its package is there.
	Version func(runtime, name string) lifecycle.Version
}

// Run checks that clusters do what lifecycle.Cluster promises. Each test gets an empty one.
func Run(t *testing.T, open func(t *testing.T) World) {
	for name, test := range map[string]func(t *testing.T, s suite){
		"what is not there is not found":                         notThere,
		"a runtime is observed once it is applied":               observed,
		"a lower revision is refused and changes nothing":        revisions,
		"a version becomes what it should be":                    versions,
		"a version that runs is not deleted":                     deletedVersions,
		"the address leads to the published version":             published,
		"a deleted runtime goes with its versions":               deletedRuntimes,
		"whoever asked is told of changes, until told to stop":   notified,
		"a runtime that was deleted may be there again":          again,
		"observing tells versions by name, and when it was done": ordered,
	} {
		t.Run(name, func(t *testing.T) { test(t, suite{World: open(t)}) })
	}
}

type suite struct{ World }

func (s suite) runtime(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, s.Cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: name, Revision: 1}))
	s.wait(t, name, func(status lifecycle.RuntimeStatus) bool { return status.Phase == lifecycle.Ready })
}

func (s suite) status(t *testing.T, name string) lifecycle.RuntimeStatus {
	t.Helper()
	status, err := s.Cluster.Observe(t.Context(), name)
	require.NoError(t, err)
	return status
}

func (s suite) wait(t *testing.T, name string, is func(lifecycle.RuntimeStatus) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, err := s.Cluster.Observe(t.Context(), name)
		return err == nil && is(status)
	}, patience, tick)
}

func (s suite) waitGone(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := s.Cluster.Observe(t.Context(), name)
		return err != nil && fault.KindOf(err) == fault.NotFound
	}, patience, tick)
}

// waitPhase waits for a version of the runtime one.
func (s suite) waitPhase(t *testing.T, version string, phase lifecycle.Phase) {
	t.Helper()
	s.wait(t, "one", func(status lifecycle.RuntimeStatus) bool {
		for _, v := range status.Versions {
			if v.Name == version {
				return v.Phase == phase
			}
		}
		return false
	})
}

func requireKind(t *testing.T, kind fault.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, fault.KindOf(err), "%v", err)
}

func notThere(t *testing.T, s suite) {
	_, err := s.Cluster.Observe(t.Context(), "none")
	requireKind(t, fault.NotFound, err)
	requireKind(t, fault.NotFound, s.Cluster.ApplyVersion(t.Context(), s.Version("none", "v1")))
	require.NoError(t, s.Cluster.DeleteRuntime(t.Context(), "none"))
	require.NoError(t, s.Cluster.DeleteVersion(t.Context(), "none", "v1"))
	s.runtime(t, "one")
	require.NoError(t, s.Cluster.DeleteVersion(t.Context(), "one", "v1"))
	names, err := s.Cluster.Runtimes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, names)
}

func observed(t *testing.T, s suite) {
	s.runtime(t, "one")
	status := s.status(t, "one")
	require.Equal(t, "one", status.Name)
	require.EqualValues(t, 1, status.Revision)
	require.Empty(t, status.Reason)
	require.Empty(t, status.PublishedVersion)
	require.NotEmpty(t, status.GRPCAddress)
	require.Regexp(t, `^http://`, status.HTTPAddress)
	require.NotEmpty(t, status.RuntimeAPIAddress)
	require.Empty(t, status.Versions)
}

func revisions(t *testing.T, s suite) {
	s.runtime(t, "one")
	require.NoError(t, s.Cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "one", Revision: 5}))
	requireKind(t, fault.Conflict, s.Cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "one", Revision: 4, PublishedVersion: "v1"}))
	require.NoError(t, s.Cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "one", Revision: 5}), "the same again")
	require.EqualValues(t, 5, s.status(t, "one").Revision)

	v := s.Version("one", "v1")
	v.Revision, v.Running = 3, false
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	old := v
	old.Revision, old.Running = 2, true
	requireKind(t, fault.Conflict, s.Cluster.ApplyVersion(t.Context(), old))
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v), "the same again")
	status := s.status(t, "one").Versions[0]
	require.EqualValues(t, 3, status.Revision)
	require.Equal(t, lifecycle.Stopped, status.Phase)
}

func versions(t *testing.T, s suite) {
	s.runtime(t, "one")
	v := s.Version("one", "v1")
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	s.waitPhase(t, "v1", lifecycle.Started)
	status := s.status(t, "one").Versions[0]
	require.Equal(t, v.Digest, status.Digest)
	require.NotEmpty(t, status.GRPCAddress)
	require.Regexp(t, `^http://`, status.HTTPAddress)
	v.Revision, v.Running = 2, false
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	s.waitPhase(t, "v1", lifecycle.Stopped)
	status = s.status(t, "one").Versions[0]
	require.EqualValues(t, 2, status.Revision)
	require.Empty(t, status.GRPCAddress)
	require.Empty(t, status.HTTPAddress)
	v.Revision, v.Running = 3, true
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	s.waitPhase(t, "v1", lifecycle.Started)
}

func deletedVersions(t *testing.T, s suite) {
	s.runtime(t, "one")
	v := s.Version("one", "v1")
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	requireKind(t, fault.Precondition, s.Cluster.DeleteVersion(t.Context(), "one", "v1"))
	v.Revision, v.Running = 2, false
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	s.waitPhase(t, "v1", lifecycle.Stopped)
	require.NoError(t, s.Cluster.DeleteVersion(t.Context(), "one", "v1"))
	s.wait(t, "one", func(status lifecycle.RuntimeStatus) bool { return len(status.Versions) == 0 })
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), s.Version("one", "v1")), "its revision is forgotten")
}

func published(t *testing.T, s suite) {
	s.runtime(t, "one")
	for _, name := range []string{"v1", "v2"} {
		require.NoError(t, s.Cluster.ApplyVersion(t.Context(), s.Version("one", name)))
		s.waitPhase(t, name, lifecycle.Started)
	}
	for i, name := range []string{"v1", "v2", "", "v1"} {
		require.NoError(t, s.Cluster.ApplyRuntime(t.Context(),
			lifecycle.Runtime{Name: "one", Revision: int64(i) + 2, PublishedVersion: name}))
		s.wait(t, "one", func(status lifecycle.RuntimeStatus) bool { return status.PublishedVersion == name })
	}
}

func deletedRuntimes(t *testing.T, s suite) {
	s.runtime(t, "one")
	s.runtime(t, "two")
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), s.Version("one", "v1")))
	require.NoError(t, s.Cluster.DeleteRuntime(t.Context(), "one"))
	require.NoError(t, s.Cluster.DeleteRuntime(t.Context(), "one"), "it is being deleted already")
	s.waitGone(t, "one")
	names, err := s.Cluster.Runtimes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"two"}, names)
	require.Equal(t, lifecycle.Ready, s.status(t, "two").Phase)
}

func again(t *testing.T, s suite) {
	s.runtime(t, "one")
	require.NoError(t, s.Cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "one", Revision: 7, PublishedVersion: "v1"}))
	require.NoError(t, s.Cluster.DeleteRuntime(t.Context(), "one"))
	s.waitGone(t, "one")
	s.runtime(t, "one")
	require.EqualValues(t, 1, s.status(t, "one").Revision)
}

func notified(t *testing.T, s suite) {
	var mu sync.Mutex
	told := make(map[string]int)
	stop := s.Cluster.Notify(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		told[name]++
	})
	count := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return told[name]
	}
	s.runtime(t, "one")
	require.Eventually(t, func() bool { return count("one") > 0 }, patience, tick)
	before := count("one")
	require.NoError(t, s.Cluster.ApplyVersion(t.Context(), s.Version("one", "v1")))
	require.Eventually(t, func() bool { return count("one") > before }, patience, tick)
	s.waitPhase(t, "v1", lifecycle.Started)
	stop()
	before = count("two")
	s.runtime(t, "two")
	require.Equal(t, before, count("two"))
}

func ordered(t *testing.T, s suite) {
	s.runtime(t, "one")
	for _, name := range []string{"c", "a", "b"} {
		v := s.Version("one", name)
		v.Running = false
		require.NoError(t, s.Cluster.ApplyVersion(t.Context(), v))
	}
	begun := time.Now()
	status := s.status(t, "one")
	var names []string
	for _, v := range status.Versions {
		names = append(names, v.Name)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.False(t, status.ObserveTime.Before(begun))
}
