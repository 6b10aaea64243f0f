package process_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/proc"
)

func kill(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func (w *world) base(t *testing.T, name string) proc.Record {
	t.Helper()
	r, err := proc.ReadRecord(w.path(name, "state.json"))
	require.NoError(t, err)
	return r
}

func listen(t *testing.T, port int) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	require.NoError(t, err)
	return listener
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(strings.TrimPrefix(addr, "http://"))
	require.NoError(t, err)
	number, err := strconv.Atoi(text)
	require.NoError(t, err)
	return number
}

func TestARuntimeGetsTheFirstFreePairOfPortsAndKeepsIt(t *testing.T) {
	w := newWorld(t)
	inTheWay := listen(t, w.first)
	w.runtime(t)
	require.NoError(t, inTheWay.Close())
	s := w.status(t)
	grpc, http := port(t, s.GRPCAddress), port(t, s.HTTPAddress)
	require.Greater(t, grpc, w.first)
	require.Equal(t, grpc+portsEach/2, http)
	require.Equal(t, "http://127.0.0.1:"+strconv.Itoa(http), s.HTTPAddress)

	require.NoError(t, w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "other", Revision: 1}))
	w.eventually(t, "another pair", func() bool {
		other, err := w.cluster.Observe(t.Context(), "other")
		require.NoError(t, err)
		return other.Phase == lifecycle.Ready && other.GRPCAddress != s.GRPCAddress && other.HTTPAddress != s.HTTPAddress
	})
	w.again(t)
	w.wait(t, "the same addresses", func(again lifecycle.RuntimeStatus) bool {
		return again.GRPCAddress == s.GRPCAddress && again.HTTPAddress == s.HTTPAddress && again.Phase == lifecycle.Ready
	})
}

func TestAPortOfTheStableAddressThatIsTakenIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	before := w.status(t)
	w.cluster.Stop(t.Context())
	taken := listen(t, port(t, before.HTTPAddress))
	defer taken.Close() //nolint:errcheck // the end
	w.open(t)
	after := w.wait(t, "another address", func(s lifecycle.RuntimeStatus) bool { return s.Phase == lifecycle.Ready })
	require.NotEqual(t, before.HTTPAddress, after.HTTPAddress)
	require.NotEqual(t, before.GRPCAddress, after.GRPCAddress, "they come in pairs")
	require.Equal(t, lifecycle.Ready, after.Phase)
}

func TestRuntimeAPIIsStartedAgainAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	before, address, api := w.pids(t, "v1"), w.base(t, "address").PID, w.base(t, "runtime-api").PID
	kill(t, api)
	w.eventually(t, "another process", func() bool { return w.base(t, "runtime-api").PID != api })
	w.wait(t, "ready", func(s lifecycle.RuntimeStatus) bool { return s.Phase == lifecycle.Ready })
	require.Equal(t, lifecycle.Started, w.version(t, "v1").Phase)
	require.Equal(t, before, w.pids(t, "v1"))
	require.Equal(t, address, w.base(t, "address").PID)
}

func TestABrokerThatIsAwayIsTheReasonWhyARuntimeIsStillBeingMade(t *testing.T) {
	w := newWorld(t)
	w.accounts.set(fault.New(fault.Unavailable, "NATS cannot be reached"))
	require.NoError(t, w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "prices", Revision: 1}))
	s := w.wait(t, "the reason", func(s lifecycle.RuntimeStatus) bool { return s.Reason != "" })
	require.Equal(t, lifecycle.Creating, s.Phase)
	w.wait(t, "the cause", func(s lifecycle.RuntimeStatus) bool {
		return s.Reason == "make the runtime's NATS account: NATS cannot be reached"
	})
	w.accounts.set(nil)
	w.cluster.Reassure()
	w.wait(t, "ready", func(s lifecycle.RuntimeStatus) bool { return s.Phase == lifecycle.Ready })
	require.True(t, w.accounts.has("prices"))
}

func TestWhatRunsGoesOnWhileBrokerAndRuntimeAPIAreAway(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	before := w.pids(t, "v1")
	away := fault.New(fault.Unavailable, "NATS cannot be reached")
	w.accounts.set(away)
	w.api.set(func(a *fakeAPI) { a.away = away })
	w.again(t)
	require.Equal(t, lifecycle.Started, w.version(t, "v1").Phase)
	require.Equal(t, lifecycle.Ready, w.status(t).Phase)
	require.Equal(t, before, w.pids(t, "v1"))

	v.Revision, v.Running, v.Drain = 2, false, 1
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	stopping := func(reason string) {
		w.wait(t, "ended, but "+reason, func(s lifecycle.RuntimeStatus) bool {
			return s.Versions[0].Phase == lifecycle.Stopping && s.Versions[0].Reason == reason
		})
	}
	stopping("end the version's NATS credentials: NATS cannot be reached")
	w.accounts.set(nil)
	stopping("count the stored messages: NATS cannot be reached")
	for _, name := range processes {
		require.Equal(t, proc.StateStopped, w.record(t, "v1", name).State)
	}
	w.api.set(func(a *fakeAPI) { a.away, a.stored = nil, 5 })
	require.EqualValues(t, 5, w.waitPhase(t, "v1", lifecycle.Stopped).StoredMessages)
}

func TestADeletedRuntimeLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	pids := w.pids(t, "v1")
	pids["runtime-api"], pids["address"] = w.base(t, "runtime-api").PID, w.base(t, "address").PID
	w.api.set(func(a *fakeAPI) { a.away = fault.New(fault.Unavailable, "the store does not answer") })
	require.NoError(t, w.cluster.DeleteRuntime(t.Context(), "prices"))
	require.Equal(t, lifecycle.Deleting, w.status(t).Phase)
	err := w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "prices", Revision: 9})
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	w.wait(t, "why it takes so long", func(s lifecycle.RuntimeStatus) bool {
		return s.Reason == "remove the packages of the runtime: the store does not answer"
	})
	w.again(t) // it is finished by the next start
	w.api.set(func(a *fakeAPI) { a.away = nil })
	require.Eventually(t, func() bool {
		_, err := w.cluster.Observe(t.Context(), "prices")
		return fault.KindOf(err) == fault.NotFound && err != nil
	}, patience, tick)
	require.NoDirExists(t, w.path())
	require.False(t, w.accounts.has("prices"))
	require.NotEmpty(t, w.api.calls("remove packages"))
	for name, pid := range pids {
		require.ErrorIsf(t, syscall.Kill(pid, 0), syscall.ESRCH, "%s", name)
	}
	require.NoError(t, w.cluster.DeleteRuntime(t.Context(), "prices"))
	w.runtime(t) // as if it had never been
}

func TestAnApplyThatCannotBeRecordedLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := desired("v1", 1, packed("v1").digest())
	// A file where a directory should be made.
	require.NoError(t, os.WriteFile(w.path("versions"), nil, 0o600))
	require.Error(t, w.cluster.ApplyVersion(t.Context(), v))
	require.Empty(t, w.status(t).Versions)
	require.NoError(t, os.Remove(w.path("versions")))
	// A directory where a file should be.
	require.NoError(t, os.MkdirAll(w.path("versions", "v1", "version.json", "x"), 0o700))
	require.Error(t, w.cluster.ApplyVersion(t.Context(), v))
	require.Empty(t, w.status(t).Versions)
	left, err := os.ReadDir(w.path("versions", "v1"))
	require.NoError(t, err)
	require.Len(t, left, 1)

	require.NoError(t, os.WriteFile(w.path("..", "other"), nil, 0o600))
	require.Error(t, w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "other", Revision: 1}))
	names, err := w.cluster.Runtimes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"prices"}, names)
}
