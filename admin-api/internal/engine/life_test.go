package engine_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

func TestAVersionLives(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 KEY")
	at := engine.Transition{Runtime: "prod", Version: "v1", Comment: "because"}

	_, err := f.StartVersion(f.ctx, at)
	require.Contains(t, requireFault(t, err, fault.Precondition, "CONFIG_MISSING").Message, "KEY")
	view, err := f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"KEY": "secret"}})
	require.NoError(t, err)
	require.True(t, view.Keys[0].Set)
	require.Equal(t, "ada", view.Keys[0].Updater)

	_, err = f.PublishVersion(f.ctx, at)
	require.Contains(t, requireFault(t, err, fault.Precondition, "WRONG_STATE").Message, "STOPPED")
	f.start(t, "prod", "v1")
	require.Equal(t, map[string]string{"KEY": "secret"}, f.world.Told().Variables)

	_, err = f.PublishVersion(f.ctx, at)
	require.NoError(t, err)
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StatePublished })
	_, err = f.StopVersion(f.ctx, at, false)
	require.Contains(t, requireFault(t, err, fault.Precondition, "WRONG_STATE").Message, "unpublish")
	require.Error(t, f.DeleteVersion(f.ctx, "prod", "v1", ""))

	_, err = f.UnpublishVersion(f.ctx, at)
	require.NoError(t, err)
	_, err = f.StopVersion(f.ctx, at, false)
	require.NoError(t, err)
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StateStopped })
	require.NoError(t, f.DeleteVersion(f.ctx, "prod", "v1", ""))
	eventually(t, func() bool {
		_, err := f.GetVersion(f.ctx, "prod", "v1")
		return fault.KindOf(err) == fault.NotFound
	})
	require.Empty(t, f.world.Stored("prod"))

	page, err := f.ListActivities(f.ctx, "prod", engine.PageRequest{})
	require.NoError(t, err)
	var actions []string
	for _, activity := range page.Activities {
		require.Equal(t, "ada", activity.Actor)
		actions = append(actions, string(activity.Action))
	}
	require.Equal(t, []string{"version.delete", "version.stop", "version.unpublish", "version.publish", "version.start",
		"config.update", "version.create", "runtime.create"}, actions)
}

func TestAskingAgainForWhatIsSucceedsAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.start(t, "prod", "v1")
	at := engine.Transition{Runtime: "prod", Version: "v1"}
	_, err := f.PublishVersion(f.ctx, at)
	require.NoError(t, err)
	before, err := f.GetVersion(f.ctx, "prod", "v1")
	require.NoError(t, err)
	_, err = f.PublishVersion(f.ctx, at)
	require.NoError(t, err)
	after, err := f.StartVersion(f.ctx, at)
	require.NoError(t, err)
	require.Equal(t, before.Revision, after.Revision)
}

func TestARevisionThatIsNoLongerCurrentIsAConflict(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	seen, err := f.GetVersion(f.ctx, "prod", "v1")
	require.NoError(t, err)
	f.start(t, "prod", "v1")
	_, err = f.StopVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1", Revision: seen.Revision}, false)
	requireFault(t, err, fault.Conflict, "CONFLICT")
}

func TestPublishingOverAnotherMovesItInOneStep(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2")
	f.start(t, "prod", "v1")
	f.start(t, "prod", "v2")
	for _, version := range []string{"v1", "v2", "v1"} {
		_, err := f.PublishVersion(f.ctx, engine.Transition{Runtime: "prod", Version: version})
		require.NoError(t, err)
		eventually(t, func() bool { return f.state(t, "prod", version) == engine.StatePublished })
	}
	require.Equal(t, engine.StateStarted, f.state(t, "prod", "v2"))
}

func TestAnErrorNeverUnpublishesAndIsPublishedOver(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2")
	f.start(t, "prod", "v1")
	f.start(t, "prod", "v2")
	_, err := f.PublishVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1"})
	require.NoError(t, err)
	f.world.Observe("prod", engine.ObservedVersion{Name: "v1", Phase: engine.Failed, Reason: "node model ended"})
	shown, err := f.GetVersion(f.ctx, "prod", "v1")
	require.NoError(t, err)
	require.Equal(t, engine.StateError, shown.State)
	require.Equal(t, "node model ended", shown.StateReason)
	require.True(t, shown.Published)
	_, err = f.PublishVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v2"})
	require.NoError(t, err)
}

func TestWhatCannotBeObservedIsUnknownAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.start(t, "prod", "v1")
	f.world.BreakWatches()
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StateUnknown })
	_, err := f.StopVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1"}, false)
	requireFault(t, err, fault.Unavailable, "UNAVAILABLE")
	eventually(t, func() bool {
		page, err := f.ListVersions(f.ctx, "prod", engine.PageRequest{})
		require.NoError(t, err)
		return page.Versions[0].State == engine.StateUnknown
	})
	f.world.Back()
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StateStarted })
}

func TestWhatTheManagerDidNotHearItHearsLater(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.world.Deafen()
	_, err := f.StartVersion(f.ctx, engine.Transition{Runtime: "prod", Version: "v1"})
	require.NoError(t, err)
	require.Equal(t, engine.StateStarting, f.state(t, "prod", "v1"))
	f.world.Back()
	eventually(t, func() bool { return f.state(t, "prod", "v1") == engine.StateStarted })
}

func TestANameInUseIsAnsweredWithWhatIsThere(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	_, err := f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v1"))
	told := requireFault(t, err, fault.AlreadyExists, "VERSION_EXISTS").Metadata
	require.Equal(t, "digest-v1", told["digest"])
	require.Equal(t, "STOPPED", told["state"])
	require.Equal(t, []string{"v1"}, f.world.Stored("prod"), "what is there stays")
}

func TestAnUploadThatFailsLeavesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod")
	f.world.Refuse(fault.New(fault.Invalid, "truncated").For(engine.ReasonInvalidPackage))
	_, err := f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v1"))
	requireFault(t, err, fault.Invalid, "INVALID_PACKAGE")
	gone := errors.New("gone")
	_, err = f.UploadVersion(f.ctx, "prod", "", io.MultiReader(strings.NewReader("v1"), iotest.ErrReader(gone)))
	require.ErrorIs(t, err, gone)
	page, err := f.ListVersions(f.ctx, "prod", engine.PageRequest{})
	require.NoError(t, err)
	require.Empty(t, page.Versions)
}

func TestAnUploaderThatDiesIsSwept(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod")
	// What an uploader leaves that was killed: a reservation, and a package that was stored just before.
	f.world.Store("prod", "v1")
	ledger, err := f.store.Ledger(f.ctx, "prod")
	require.NoError(t, err)
	was := ledger.Revision
	ledger.Revision++
	ledger.Entries = []engine.Entry{{Name: "v1", Upload: "dead", Lease: ledger.CreateTime, CreateTime: ledger.CreateTime}}
	for f.store.ReplaceLedger(f.ctx, ledger, was) != nil {
		current, err := f.store.Ledger(f.ctx, "prod")
		require.NoError(t, err)
		was, ledger.Revision = current.Revision, current.Revision+1
	}
	eventually(t, func() bool {
		_, err := f.GetVersion(f.ctx, "prod", "v1")
		return fault.KindOf(err) == fault.NotFound
	})
	require.Empty(t, f.world.Stored("prod"))
	_, err = f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v1"))
	require.NoError(t, err)
}

func TestValuesAreInheritedKeyByKeyFromTheMostRecentVersionThatHasThem(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 A B")
	set := func(version string, values map[string]string) {
		_, err := f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: engine.Transition{Runtime: "prod", Version: version}, Variables: values})
		require.NoError(t, err)
	}
	set("v1", map[string]string{"A": "a1", "B": "b1"})
	_, err := f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v2 A"))
	require.NoError(t, err)
	set("v2", map[string]string{"A": "a2"})
	shown, err := f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v3 A B C"))
	require.NoError(t, err)
	require.Equal(t, []string{"C"}, shown.MissingConfig)
	view, err := f.GetConfig(f.ctx, "prod", "v3")
	require.NoError(t, err)
	require.Equal(t, "v2", view.Keys[0].InheritedFrom)
	require.Equal(t, "v1", view.Keys[1].InheritedFrom)
	set("v3", map[string]string{"C": "c3"})
	f.start(t, "prod", "v3")
	require.Equal(t, map[string]string{"A": "a2", "B": "b1", "C": "c3"}, f.world.Told().Variables)
}

func TestARunningVersionKeepsItsValuesAndIsToldNewOnes(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 KEY")
	at := engine.Transition{Runtime: "prod", Version: "v1"}
	_, err := f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"KEY": "one"}})
	require.NoError(t, err)
	f.start(t, "prod", "v1")
	_, err = f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Unset: []string{"KEY"}})
	requireFault(t, err, fault.Precondition, "WRONG_STATE")
	_, err = f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"KEY": "two"}})
	require.NoError(t, err)
	eventually(t, func() bool {
		return f.world.Told().Variables["KEY"] == "two"
	})
}

func TestAnUnknownKeyAndATooLargeValueAreRefused(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 GREETING")
	at := engine.Transition{Runtime: "prod", Version: "v1"}
	_, err := f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"GREETNG": "x"}})
	refusal := requireFault(t, err, fault.Invalid, "INVALID_REQUEST")
	require.Contains(t, refusal.Message, `did you mean "GREETING"?`)
	require.Equal(t, "variables.GREETNG", refusal.Fields[0].Path)
	_, err = f.UpdateConfig(f.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"GREETING": strings.Repeat("x", engine.MaxVariable+1)}})
	requireFault(t, err, fault.Exhausted, "TOO_LARGE")
}

func TestDeletingARuntimeNeedsItsNameTwiceAndLeavesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.start(t, "prod", "v1")
	requireFault(t, f.DeleteRuntime(f.ctx, "prod", "other"), fault.Invalid, "INVALID_REQUEST")
	require.NoError(t, f.DeleteRuntime(f.ctx, "prod", "prod"))
	eventually(t, func() bool {
		_, err := f.GetRuntime(f.ctx, "prod")
		return fault.KindOf(err) == fault.NotFound
	})
	f.create(t, "prod", "v1")
}

func TestNamesOfThePlatformAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"", "default", "kube-system", "kre", "Prod", "1st", "a_b", "ends-", strings.Repeat("a", 41)} {
		_, err := f.CreateRuntime(f.ctx, name, "", "")
		requireFault(t, err, fault.Invalid, "INVALID_REQUEST")
	}
}

func TestPagesFollowEachOtherAndATokenIsOfItsListOnly(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2", "v3", "w1")
	var names []string
	request := engine.PageRequest{Size: 2, Filter: `name = "v*"`}
	for {
		page, err := f.ListVersions(f.ctx, "prod", request)
		require.NoError(t, err)
		for _, version := range page.Versions {
			names = append(names, version.Name)
		}
		if request.Token = page.NextToken; request.Token == "" {
			break
		}
		_, err = f.ListVersions(f.ctx, "prod", engine.PageRequest{Token: request.Token})
		requireFault(t, err, fault.Invalid, "INVALID_PAGE_TOKEN")
		_, err = f.ListRuntimes(f.ctx, engine.PageRequest{Token: request.Token})
		requireFault(t, err, fault.Invalid, "INVALID_PAGE_TOKEN")
	}
	require.Equal(t, []string{"v3", "v2", "v1"}, names)
	_, err := f.ListVersions(f.ctx, "prod", engine.PageRequest{Filter: `colour = "red"`})
	require.Contains(t, requireFault(t, err, fault.Invalid, "INVALID_FILTER").Message, "colour")
}

func TestConflictingTransitionsNeverPublishTwo(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2", "v3")
	for _, version := range []string{"v1", "v2", "v3"} {
		f.start(t, "prod", version)
	}
	replicas := []*engine.Engine{f.Engine, f.replica(t)}
	var wait sync.WaitGroup
	failed := make(chan error, 200)
	for i := range 200 {
		at := engine.Transition{Runtime: "prod", Version: fmt.Sprintf("v%d", i%3+1)}
		e := replicas[i%2]
		wait.Go(func() {
			var err error
			switch i / 3 % 3 {
			case 0:
				_, err = e.StartVersion(f.ctx, at)
			case 1:
				_, err = e.StopVersion(f.ctx, at, false)
			default:
				_, err = e.PublishVersion(f.ctx, at)
			}
			if kind := fault.KindOf(err); err != nil && kind != fault.Precondition && kind != fault.Conflict {
				failed <- err
			}
		})
	}
	wait.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	ledger, err := f.store.Ledger(f.ctx, "prod")
	require.NoError(t, err)
	if ledger.Published != "" {
		require.True(t, ledger.Entry(ledger.Published).Running, "what is published runs")
	}
	for _, entry := range ledger.Entries {
		want := engine.StateStopped
		switch {
		case ledger.Published == entry.Name:
			want = engine.StatePublished
		case entry.Running:
			want = engine.StateStarted
		}
		eventually(t, func() bool { return f.state(t, "prod", entry.Name) == want })
	}
}
