package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle/lifecycletest"
	"github.com/konstellation-io/kre/kit/fault"
)

const patience = time.Minute

// run runs a manager of a cluster until the test ends.
func run(t *testing.T, o lifecycle.Options) (*lifecycletest.Cluster, *lifecycle.Manager) {
	t.Helper()
	cluster := lifecycletest.NewCluster()
	manager := lifecycle.NewManager(cluster, o)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		manager.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-over })
	return cluster, manager
}

// watch gathers what a watcher is told.
func watch(t *testing.T, manager *lifecycle.Manager) <-chan lifecycle.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, over := make(chan lifecycle.Event), make(chan error, 1)
	go func() {
		over <- manager.Watch(ctx, func(e lifecycle.Event) error {
			select {
			case events <- e:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-over) })
	return events
}

func next(t *testing.T, events <-chan lifecycle.Event) lifecycle.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		require.FailNow(t, "nothing is told")
		return lifecycle.Event{}
	}
}

func runtimeOf(name string, revision int64) lifecycle.Runtime {
	return lifecycle.Runtime{Name: name, Revision: revision}
}

func versionOf(runtime, name string) lifecycle.Version {
	return lifecycle.Version{Runtime: runtime, Name: name, Revision: 1, Digest: strings.Repeat("a", 64), Running: true}
}

func TestAWatcherIsToldOfEverythingThenOfChanges(t *testing.T) {
	cluster, manager := run(t, lifecycle.Options{Alive: time.Hour})
	require.NoError(t, manager.ApplyRuntime(t.Context(), runtimeOf("one", 1)))
	events := watch(t, manager)
	first := next(t, events)
	if first.Synced { // it was asked before the runtime was seen
		first = next(t, events)
	} else {
		require.True(t, next(t, events).Synced)
	}
	require.Equal(t, "one", first.Runtime.Name)
	require.Equal(t, lifecycle.Ready, first.Runtime.Phase)

	cluster.Break("one", "no room")
	broken := next(t, events)
	require.Equal(t, lifecycle.Error, broken.Runtime.Phase)
	require.Equal(t, "no room", broken.Runtime.Reason)
	require.NoError(t, manager.ApplyVersion(t.Context(), versionOf("one", "v1")))
	require.Len(t, next(t, events).Runtime.Versions, 1)
	require.NoError(t, manager.DeleteRuntime(t.Context(), "one"))
	require.Equal(t, lifecycle.Event{Deleted: "one"}, next(t, events))
}

func TestWhereNothingIsNewNothingIsTold(t *testing.T) {
	cluster, manager := run(t, lifecycle.Options{Alive: time.Hour})
	require.NoError(t, manager.ApplyRuntime(t.Context(), runtimeOf("one", 1)))
	events := watch(t, manager)
	for !next(t, events).Synced {
		continue
	}
	require.NoError(t, manager.ApplyRuntime(t.Context(), runtimeOf("one", 1)), "the same again")
	cluster.Break("one", "a change")
	e := next(t, events)
	if e.Runtime.Reason == "" { // it was seen after the watcher had come
		e = next(t, events)
	}
	require.Equal(t, "a change", e.Runtime.Reason)
}

func TestAWatcherGetsASignOfLife(t *testing.T) {
	_, manager := run(t, lifecycle.Options{Alive: time.Millisecond})
	events := watch(t, manager)
	require.True(t, next(t, events).Synced)
	require.Equal(t, lifecycle.Event{Alive: true}, next(t, events))
	require.Equal(t, lifecycle.Event{Alive: true}, next(t, events))
}

func TestASlowWatcherMissesStatesInBetweenButNotTheLast(t *testing.T) {
	cluster, manager := run(t, lifecycle.Options{Alive: time.Hour})
	events := watch(t, manager)
	require.True(t, next(t, events).Synced)
	quick := watch(t, manager)
	require.True(t, next(t, quick).Synced)
	require.NoError(t, manager.ApplyRuntime(t.Context(), runtimeOf("one", 1)))
	const many = 200
	for revision := range int64(many) {
		require.NoError(t, manager.ApplyRuntime(t.Context(), runtimeOf("one", revision+1)))
	}
	cluster.Break("one", "the end")
	for next(t, quick).Runtime.Reason != "the end" {
		continue
	}
	// The slow one held the first event, and perhaps one that followed at once.
	told := 1
	for next(t, events).Runtime.Reason != "the end" {
		told++
	}
	require.Less(t, told, many/2)
}

func TestAWatcherThatCannotBeToldIsLeft(t *testing.T) {
	_, manager := run(t, lifecycle.Options{Alive: time.Millisecond})
	gone := errors.New("gone")
	require.ErrorIs(t, manager.Watch(t.Context(), func(lifecycle.Event) error { return gone }), gone)
}

func TestARuntimeThatCannotBeSeenForAWhileIsSeenLater(t *testing.T) {
	cluster, manager := run(t, lifecycle.Options{Alive: time.Hour})
	events := watch(t, manager)
	require.True(t, next(t, events).Synced)
	require.NoError(t, cluster.ApplyRuntime(t.Context(), runtimeOf("one", 1)))
	require.Equal(t, "one", next(t, events).Runtime.Name)
	cluster.Fail(errors.New("away"))
	cluster.Break("one", "reason")
	cluster.Fail(nil)
	require.Equal(t, "reason", next(t, events).Runtime.Reason)
}

func TestRefusesWhatCannotBe(t *testing.T) {
	_, manager := run(t, lifecycle.Options{})
	version := func(change func(v *lifecycle.Version)) error {
		v := versionOf("one", "v1")
		change(&v)
		return manager.ApplyVersion(t.Context(), v)
	}
	for field, err := range map[string]error{
		"runtime":           manager.ApplyRuntime(t.Context(), runtimeOf("../one", 1)),
		"revision":          manager.ApplyRuntime(t.Context(), runtimeOf("one", 0)),
		"published_version": manager.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "one", Revision: 1, PublishedVersion: "V"}),
		"version":           version(func(v *lifecycle.Version) { v.Name = "a/b" }),
		"digest":            version(func(v *lifecycle.Version) { v.Digest = "../x" }),
		"drain_seconds":     version(func(v *lifecycle.Version) { v.Drain = -time.Second }),
		"variables":         version(func(v *lifecycle.Version) { v.Variables = map[string]string{"a-b": ""} }),
		"files":             version(func(v *lifecycle.Version) { v.Files = map[string][]byte{"../A": nil} }),
	} {
		t.Run(field, func(t *testing.T) {
			var invalid *fault.Error
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, fault.Invalid, invalid.Kind)
			require.Len(t, invalid.Fields, 1)
			require.Equal(t, field, invalid.Fields[0].Path)
		})
	}
	require.Equal(t, fault.Invalid, fault.KindOf(manager.DeleteRuntime(t.Context(), "")))
	require.Equal(t, fault.Invalid, fault.KindOf(manager.DeleteVersion(t.Context(), "one", strings.Repeat("a", 64))))
	_, err := manager.Runtime(t.Context(), "..")
	require.Equal(t, fault.Invalid, fault.KindOf(err))
}

func TestAStaleRevisionNamesBoth(t *testing.T) {
	err := lifecycle.CheckRevision("version v1", 5, 4)
	var stale *fault.Error
	require.ErrorAs(t, err, &stale)
	require.Equal(t, fault.Conflict, stale.Kind)
	require.Equal(t, lifecycle.ReasonStaleRevision, stale.Reason)
	require.Equal(t, map[string]string{"recorded": "5", "asked": "4"}, stale.Metadata)
}
