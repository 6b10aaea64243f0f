package process_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// prepared are the keys of each time a version was prepared.
func (w *world) prepared() (keys []*runtimev1.BrokerKeys) {
	w.api.set(func(a *fakeAPI) { keys = append(keys, a.keys...) })
	return keys
}

// stop stops a version and waits for it.
func (w *world) stop(t *testing.T, v lifecycle.Version) lifecycle.Version {
	t.Helper()
	v.Running = false
	v.Revision++
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, v.Name, lifecycle.Stopped)
	return v
}

func (w *world) startAgain(t *testing.T, v lifecycle.Version) lifecycle.Version {
	t.Helper()
	v.Running = true
	v.Revision++
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, v.Name, lifecycle.Started)
	return v
}

func TestEachStartHasAUserOfItsOwnWhichEndsWithIt(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	require.True(t, w.accounts.has("prices/v1"))
	first := w.prepared()[0]
	require.Equal(t, "seed of prices/v1", first.GetAccountSeed())
	require.Empty(t, w.accounts.out())

	w.again(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Empty(t, w.accounts.out(), "it runs on with what it has")

	v = w.stop(t, v)
	require.Contains(t, w.accounts.out(), "prices/v1 "+first.GetUserSeed())
	require.NoFileExists(t, w.path("versions", "v1", "nats.creds"))
	require.NoFileExists(t, w.path("versions", "v1", "user.seed"))
	require.NoDirExists(t, w.path("versions", "v1", "files"), "values of configuration files go, too")
	require.Equal(t, []string{"release v1"}, w.api.calls("release"))

	v = w.startAgain(t, v)
	keys := w.prepared()
	second := keys[len(keys)-1]
	require.Equal(t, first.GetAccountSeed(), second.GetAccountSeed())
	require.NotEqual(t, first.GetUserSeed(), second.GetUserSeed())
	w.stop(t, v)
	require.NoError(t, w.cluster.DeleteVersion(t.Context(), "prices", "v1"))
	w.eventually(t, "its account is gone", func() bool { return !w.accounts.has("prices/v1") })
}

func TestTheUserOfAMachineThatWentDownIsNotLetInAgain(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	first := w.prepared()[0]
	w.cluster.Stop(t.Context()) // it should run, and does not
	w.open(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Contains(t, w.accounts.out(), "prices/v1 "+first.GetUserSeed())
	keys := w.prepared()
	require.NotEqual(t, first.GetUserSeed(), keys[len(keys)-1].GetUserSeed())
}

func TestAVersionHasStoppedOnlyWhenItsUserIsLetInNoMore(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	w.accounts.set(fault.New(fault.Unavailable, "NATS cannot be reached"))
	v.Running, v.Revision = false, v.Revision+1
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.wait(t, "the broker is missed", func(s lifecycle.RuntimeStatus) bool {
		return s.Versions[0].Phase == lifecycle.Stopping && s.Versions[0].Reason != ""
	})
	require.FileExists(t, w.path("versions", "v1", "user.seed"))
	w.accounts.set(nil)
	w.waitPhase(t, "v1", lifecycle.Stopped)
	require.NotEmpty(t, w.accounts.out())
}

func TestAVersionOfBeforeStaysInTheRuntimesAccountWhileItHasMessagesThere(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.stop(t, w.start(t, "v1"))
	// As a program of before leaves it: without an account, and perhaps with credentials.
	require.NoError(t, os.Remove(w.path("versions", "v1", "account.seed")))
	w.api.set(func(a *fakeAPI) { a.stored = 3 })
	v = w.startAgain(t, v)
	keys := w.prepared()
	require.Empty(t, keys[len(keys)-1].GetAccountSeed())
	stayed := keys[len(keys)-1].GetUserSeed()
	require.NotEmpty(t, stayed)

	// Its processes were started by a program of before, which kept no key of their user.
	require.NoError(t, os.Remove(w.path("versions", "v1", "user.seed")))
	v = w.stop(t, v)
	require.Contains(t, w.accounts.out(), "prices "+stayed)
	w.api.set(func(a *fakeAPI) { a.stored = 0 })
	w.startAgain(t, v)
	keys = w.prepared()
	require.Equal(t, "seed of prices/v1", keys[len(keys)-1].GetAccountSeed())
}

func TestABrokerThatHasForgottenAccountsIsToldOfThoseOfVersionsToo(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.accounts.forget()
	w.cluster.Reassure()
	w.eventually(t, "it knows them", func() bool { return w.accounts.has("prices") && w.accounts.has("prices/v1") })
}

func TestTheAccountsOfVersionsGoWithTheirRuntime(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	require.NoError(t, w.cluster.DeleteRuntime(t.Context(), "prices"))
	require.Eventually(t, func() bool { return !w.accounts.has("prices") && !w.accounts.has("prices/v1") }, patience, tick)
}
