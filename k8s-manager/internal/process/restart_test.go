package process_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/proc"
)

const tick = 5 * time.Millisecond

// edit changes a JSON file below the directory of the runtime.
func (w *world) edit(t *testing.T, change func(fields map[string]any), parts ...string) {
	t.Helper()
	fields := make(map[string]any)
	require.NoError(t, json.Unmarshal([]byte(read(t, w.path(parts...))), &fields))
	change(fields)
	content, err := json.Marshal(fields)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.path(parts...), content, 0o600))
}

func TestARestartFindsWhatRuns(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	pids, address, api := w.pids(t, "v1"), w.base(t, "address").PID, w.base(t, "runtime-api").PID
	calls := len(w.api.calls(""))
	before := w.status(t)
	w.again(t)
	after := w.status(t)
	after.ObserveTime = before.ObserveTime
	require.Equal(t, before, after, "from the first moment")
	w.again(t)
	require.Equal(t, pids, w.pids(t, "v1"))
	require.Equal(t, address, w.base(t, "address").PID)
	require.Equal(t, api, w.base(t, "runtime-api").PID)
	require.Len(t, w.api.calls(""), calls, "nothing had to be done")
}

func TestARestartStartsWhatDiedMeanwhileAndOnlyThat(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	before := w.pids(t, "v1")
	w.cluster.Close()
	kill(t, before["work.b-0"])
	w.open(t)
	w.eventually(t, "another process", func() bool { return w.record(t, "v1", "work.b-0").PID != before["work.b-0"] })
	w.waitPhase(t, "v1", lifecycle.Started)
	after := w.pids(t, "v1")
	after["work.b-0"] = before["work.b-0"]
	require.Equal(t, before, after)
	require.Len(t, w.api.calls("prepare"), 1)
}

func TestAPlanOfAnEarlierEngineIsMadeAgainAndNothingOfItIsStarted(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	before := w.pids(t, "v1")
	w.cluster.Close()
	kill(t, before["work.b-0"])
	w.edit(t, func(fields map[string]any) {
		delete(fields, "format")
		delete(fields, "runner")
		programs := fields["programs"].(map[string]any)
		programs["work.b"] = launch.Program{Path: "/earlier/python", Args: []string{"-m", "kre"}, Stamp: "/earlier/python"}
	}, "versions", "v1", "plan.json")
	w.open(t)
	w.eventually(t, "another process", func() bool { return w.record(t, "v1", "work.b-0").PID != before["work.b-0"] })
	w.waitPhase(t, "v1", lifecycle.Started)
	// None where the killed one had not ended yet when it was found, and was replaced rather than started again.
	require.LessOrEqual(t, w.record(t, "v1", "work.b-0").Restarts, 1, "the first that was tried could be started")
	require.NotContains(t, read(t, w.path("versions", "v1", "plan.json")), "/earlier/python")
	require.Len(t, w.api.calls("prepare"), 2)
	after := w.pids(t, "v1")
	after["work.b-0"] = before["work.b-0"]
	require.Equal(t, before, after, "what runs as it should goes on")

	w.again(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Len(t, w.api.calls("prepare"), 2, "it is this engine's now")
}

func TestAnotherRunnerReplacesTheNodesThatItRunsOneAtATime(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	p := packed("v1")
	p["krt.yml"] = strings.Replace(p["krt.yml"], "src: bin/a,", "src: bin/a, protocol: worker,", 1)
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", p))))
	w.waitPhase(t, "v1", lifecycle.Started)
	before := w.pids(t, "v1")
	w.cluster.Close()
	w.libexec = t.TempDir()
	for _, name := range []string{"runtime-api", "entrypoint", "runner"} {
		require.NoError(t, os.Link(filepath.Join(libexec, name), filepath.Join(w.libexec, name)))
	}
	w.open(t)
	w.eventually(t, "the nodes under the runner are others", func() bool {
		for _, name := range []string{"work.a-0", "work.a-1"} {
			if r := w.record(t, "v1", name); !r.Runs() || r.PID == before[name] {
				return false
			}
		}
		return true
	})
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Equal(t, before["work.b-0"], w.pids(t, "v1")["work.b-0"])
	require.Contains(t, w.log(t, "v1", "work.a-0"), "bye\n", "it was told to end")
}

func TestARestartFinishesAStop(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	before := w.pids(t, "v1")
	w.cluster.Close()
	kill(t, before["entrypoint-0"]) // it had come so far
	kill(t, before["work.a-0"])
	w.edit(t, func(fields map[string]any) { fields["running"], fields["revision"] = false, 2 }, "versions", "v1", "version.json")
	w.open(t)
	w.waitPhase(t, "v1", lifecycle.Stopped)
	for _, name := range processes {
		require.False(t, w.record(t, "v1", name).Runs())
		require.Equal(t, proc.StateStopped, w.record(t, "v1", name).State)
	}
	require.Empty(t, w.api.calls("close"), "there was nobody to close")
	require.NotEmpty(t, w.api.calls("count"), "what remains is known")
}

func TestARestartFinishesAPublish(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.start(t, "v2")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })

	t.Run("that had only been recorded", func(t *testing.T) {
		w.cluster.Close()
		w.edit(t, func(fields map[string]any) { fields["published_version"], fields["revision"] = "v2", 3 }, "runtime.json")
		w.open(t)
		w.eventually(t, "the other one is moved", func() bool { return len(w.api.calls("move v1")) == 1 })
		require.Equal(t, "v2", w.status(t).PublishedVersion)
		require.Equal(t, w.version(t, "v2").GRPCAddress, w.leads(t).GRPC)
	})
	t.Run("whose address leads there already", func(t *testing.T) {
		w.cluster.Close()
		w.edit(t, func(fields map[string]any) { fields["moving"] = []string{"v1"} }, "runtime.json")
		w.open(t)
		w.eventually(t, "the other one is moved", func() bool { return len(w.api.calls("move v1")) == 2 })
		w.eventually(t, "that is noted", func() bool { return !containsMoving(t, w) })
	})
}

func containsMoving(t *testing.T, w *world) bool {
	t.Helper()
	fields := make(map[string]any)
	require.NoError(t, json.Unmarshal([]byte(read(t, w.path("runtime.json"))), &fields))
	return fields["moving"] != nil
}

func TestARestartFinishesTheDeletionOfAVersion(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	v.Revision, v.Running = 2, false
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Stopped)
	w.cluster.Close()
	w.edit(t, func(fields map[string]any) { fields["deleting"] = true }, "versions", "v1", "version.json")
	w.open(t)
	w.wait(t, "gone", func(s lifecycle.RuntimeStatus) bool { return len(s.Versions) == 0 })
	require.NoDirExists(t, w.path("versions", "v1"))
}

func TestARestartRemovesWhatWasHalfFetched(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.cluster.Close()
	half := w.path("packages", ".fetch-1")
	require.NoError(t, os.MkdirAll(half, 0o700))
	w.open(t)
	require.NoDirExists(t, half)
}

func TestAfterAnEndInOrderEverythingStartsAsItWas(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	before := w.status(t)
	pids := w.pids(t, "v1")
	w.cluster.Stop(t.Context())
	require.NotEmpty(t, w.api.calls("close v1"))
	for name := range pids {
		require.False(t, w.record(t, "v1", name).Runs())
	}
	require.False(t, w.base(t, "address").Runs())
	require.False(t, w.base(t, "runtime-api").Runs())

	w.open(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	after := w.wait(t, "as it was", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" && s.Phase == lifecycle.Ready })
	after.ObserveTime = before.ObserveTime
	require.Equal(t, before, after)
	require.Len(t, w.api.calls("prepare"), 2, "the broker may have been emptied")
	require.Empty(t, w.api.calls("open"), "a new entrypoint takes calls")
}

func TestWhatAnEarlierSupervisorHasNotLetGoOfYetEndsAsWell(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.cluster.Close()
	var locks []*os.File // as the one before had them, or a process that was just being started when it ended
	for _, state := range []string{w.path("address", "state.json"), w.path("versions", "v1", "state", "work.a-0.json")} {
		lock, err := os.OpenFile(state+".lock", os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
		locks = append(locks, lock)
	}
	w.open(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	stopped := make(chan struct{})
	go func() {
		w.cluster.Stop(t.Context())
		close(stopped)
	}()
	w.eventually(t, "the entrypoint has ended", func() bool { return !w.record(t, "v1", "entrypoint-0").Runs() })
	for _, lock := range locks {
		require.NoError(t, lock.Close())
	}
	<-stopped
	require.False(t, w.base(t, "address").Runs())
	for _, name := range processes {
		require.False(t, w.record(t, "v1", name).Runs(), name)
	}
}

func TestAPortOfAnEntrypointThatIsTakenIsReplacedAndTheAddressFollows(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	before := w.version(t, "v1")
	w.cluster.Stop(t.Context())
	taken := listen(t, port(t, before.GRPCAddress))
	defer taken.Close() //nolint:errcheck // the end
	w.open(t)
	w.waitPhase(t, "v1", lifecycle.Started)
	after := w.version(t, "v1")
	require.NotEqual(t, before.GRPCAddress, after.GRPCAddress)
	w.eventually(t, "the address follows", func() bool { return w.leads(t).GRPC == after.GRPCAddress })
}

func TestARuntimeWhoseFileIsLostIsFoundAgainWhenItIsApplied(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	pids := w.pids(t, "v1")
	w.cluster.Close()
	require.NoError(t, os.WriteFile(w.path("runtime.json"), []byte("{"), 0o600))
	w.open(t)
	names, err := w.cluster.Runtimes(t.Context())
	require.NoError(t, err)
	require.Empty(t, names)
	require.NoError(t, w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "prices", Revision: 4}))
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Equal(t, pids, w.pids(t, "v1"))
}

func TestARestartRemovesWhatHadOnlyJustBeenBegun(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.cluster.Close()
	for _, half := range []string{"../begun", "versions/v1"} {
		require.NoError(t, os.MkdirAll(w.path(half), 0o700))
	}
	for _, half := range []string{"../begun/.runtime.json.part", "versions/v1/.version.json.part", ".runtime.json.part"} {
		require.NoError(t, os.WriteFile(w.path(half), []byte("{"), 0o600))
	}
	w.open(t)
	require.NoDirExists(t, w.path("../begun"))
	require.NoDirExists(t, w.path("versions/v1"))
	require.NoFileExists(t, w.path(".runtime.json.part"))
	require.Empty(t, w.status(t).Versions)
}
