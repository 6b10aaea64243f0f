package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
)

// watch collects the events of a runtime until the test ends.
func watch(t *testing.T, e *engine.Engine, runtime string, after int64) <-chan engine.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, ended := make(chan engine.Event, 1000), make(chan error, 1)
	go func() {
		defer close(events)
		ended <- e.WatchRuntime(ctx, runtime, after, func(event engine.Event) error { events <- event; return nil })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
	return events
}

func TestAWatcherSeesWhatOtherReplicasChangeAndWhatIsObserved(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	events := watch(t, f.Engine, "prod", 0)
	first := <-events
	require.NotNil(t, first.Snapshot)
	require.Len(t, first.Snapshot.Versions, 1)

	other := f.replica(t)
	_, err := other.StartVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1"})
	require.NoError(t, err)
	for event := range events {
		if event.Version != nil && event.Version.State == engine.StateStarted {
			require.Greater(t, event.Revision, first.Revision)
			break
		}
	}
	_, err = f.StopVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1"}, false)
	require.NoError(t, err)
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StateStopped })
	require.NoError(t, f.DeleteVersion(f.ctx, "prod", "v1", ""))
	for event := range events {
		if event.DeletedVersion == "v1" {
			break
		}
	}
	require.NoError(t, f.DeleteRuntime(f.ctx, "prod", "prod"))
	var last engine.Event
	for event := range events {
		last = event
	}
	require.True(t, last.Deleted)
}

func TestAWatcherResumesBehindARevisionOrBeginsAnew(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2")
	runtime, err := f.GetRuntime(f.ctx, "prod")
	require.NoError(t, err)
	f.start(t, "prod", "v2")
	require.NoError(t, f.DeleteVersion(f.ctx, "prod", "v1", ""))
	eventually(t, func() bool { _, err := f.GetVersion(f.ctx, "prod", "v1"); return err != nil })

	var deleted, changed bool
	for event := range watch(t, f.Engine, "prod", runtime.Revision) {
		require.Nil(t, event.Snapshot)
		deleted = deleted || event.DeletedVersion == "v1"
		changed = changed || event.Version != nil && event.Version.Name == "v2"
		if deleted && changed {
			break
		}
	}
	require.NotNil(t, (<-watch(t, f.Engine, "prod", runtime.Revision+1_000_000)).Snapshot, "a revision that never was")
}

func TestAWatchEndsWithTheErrorOfWhoWatches(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod")
	enough := errors.New("enough")
	require.ErrorIs(t, f.WatchRuntime(f.ctx, "prod", 0, func(engine.Event) error { return enough }), enough)
}
