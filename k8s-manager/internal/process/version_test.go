package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/proc"
)

func TestAVersionIsStartedWhenAllItsProcessesAreReady(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.pids(t, "v1")
	require.Equal(t, "color blue cert\n", w.log(t, "v1", "work.b-0"))
	require.Equal(t, "color  \n", w.log(t, "v1", "work.a-0"), "it declares no values")
	v := w.version(t, "v1")
	require.Empty(t, v.Reason)
	require.NotEmpty(t, v.GRPCAddress)
	require.True(t, strings.HasPrefix(v.HTTPAddress, "http://127.0.0.1:"))
	require.JSONEq(t, `{"processes": [
		{"process": "entrypoint-0", "workflow": "", "node": "entrypoint", "replica": 0},
		{"process": "work.a-0", "workflow": "work", "node": "a", "replica": 0},
		{"process": "work.a-1", "workflow": "work", "node": "a", "replica": 1},
		{"process": "work.b-0", "workflow": "work", "node": "b", "replica": 0}]}`, read(t, w.path("versions", "v1", "nodes.json")))
	for _, secret := range []string{"version.json", "plan.json", "nats.creds", "files/CERT", "kept.json"} {
		info, err := os.Stat(w.path("versions", "v1", secret))
		require.NoError(t, err)
		require.Equalf(t, os.FileMode(0o600), info.Mode(), "%s", secret)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}

func TestStoppingClosesTheEntrypointThenEndsItThenTheNodesAndCounts(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	w.api.set(func(a *fakeAPI) { a.waiting, a.stored = 3, 7 })
	v.Revision, v.Running, v.Drain = 2, false, time.Hour
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.eventually(t, "the entrypoint is closed", func() bool { return len(w.api.calls("close v1")) > 0 })
	w.wait(t, "callers are told of", func(s lifecycle.RuntimeStatus) bool {
		return s.Versions[0].Phase == lifecycle.Stopping && strings.Contains(s.Versions[0].Reason, "3 still wait")
	})
	require.Empty(t, w.api.calls("count"), "callers come first")
	w.pids(t, "v1")

	w.api.set(func(a *fakeAPI) { a.waiting = 0 })
	w.wait(t, "messages are told of", func(s lifecycle.RuntimeStatus) bool {
		return strings.Contains(s.Versions[0].Reason, "7 messages")
	})
	w.pids(t, "v1")
	w.api.set(func(a *fakeAPI) { a.stored = 0 })
	stopped := w.waitPhase(t, "v1", lifecycle.Stopped)
	require.Zero(t, stopped.StoredMessages)
	require.Empty(t, stopped.GRPCAddress)
	ended := w.record(t, "v1", "entrypoint-0").Since
	for _, name := range processes {
		r := w.record(t, "v1", name)
		require.Equal(t, proc.StateStopped, r.State)
		require.False(t, r.Since.Before(ended), "nodes end after the entrypoint")
	}
}

func TestWhatIsStillStoredWhenTheTimeIsOverIsCounted(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	w.api.set(func(a *fakeAPI) { a.waiting, a.stored = 3, 7 })
	v.Revision, v.Running, v.Drain = 2, false, 50*time.Millisecond
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	require.EqualValues(t, 7, w.waitPhase(t, "v1", lifecycle.Stopped).StoredMessages)

	v.Revision, v.Discard = 3, true
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.wait(t, "discarded", func(s lifecycle.RuntimeStatus) bool {
		return s.Versions[0].Phase == lifecycle.Stopped && s.Versions[0].StoredMessages == 0
	})
	require.Len(t, w.api.calls("discard v1"), 1)
}

func TestAStopThatIsCalledOffOpensTheEntrypointAgain(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	pids := w.pids(t, "v1")
	w.api.set(func(a *fakeAPI) { a.waiting = 1 })
	v.Revision, v.Running, v.Drain = 2, false, time.Hour
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.eventually(t, "the entrypoint is closed", func() bool { return len(w.api.calls("close v1")) > 0 })
	v.Revision, v.Running = 3, true
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Started)
	require.NotEmpty(t, w.api.calls("open v1"))
	require.Equal(t, pids, w.pids(t, "v1"))
}

func TestANodeThatFailsIsNamedWithItsLastLineAndHealsByItself(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	cause := filepath.Join(t.TempDir(), "cause")
	require.NoError(t, os.WriteFile(cause, nil, 0o600))
	failing := "#!/bin/sh\nif [ -e " + cause + " ]; then\n" +
		`echo '{"level":"error","message":"cannot load the model","error":"no such file"}'` + "\nexit 3\nfi\n" + good
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", packed("v1", failing)))))
	v := w.waitPhase(t, "v1", lifecycle.Error)
	require.Equal(t, "node b ended with code 3 before it was ready: cannot load the model: no such file", v.Reason)
	require.NoError(t, os.Remove(cause))
	w.waitPhase(t, "v1", lifecycle.Started)
}

func TestANodeThatDiesIsStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	before := w.pids(t, "v1")
	kill(t, before["work.a-1"])
	w.eventually(t, "another process", func() bool { return w.record(t, "v1", "work.a-1").PID != before["work.a-1"] })
	w.waitPhase(t, "v1", lifecycle.Started)
	after := w.pids(t, "v1")
	require.Equal(t, 1, w.record(t, "v1", "work.a-1").Restarts)
	after["work.a-1"] = before["work.a-1"]
	require.Equal(t, before, after, "the others go on")
}

func TestANodeThatHangsAtItsStartIsAnErrorAfterItsTime(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	hanging := "#!/bin/sh\necho thinking\nwhile :; do sleep 0.02; done\n"
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", packed("v1", hanging)))))
	v := w.waitPhase(t, "v1", lifecycle.Error)
	require.Equal(t, "node b was not ready after 2s: thinking", v.Reason)
	stop := desired("v1", 2, v.Digest)
	stop.Running = false
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), stop))
	w.waitPhase(t, "v1", lifecycle.Stopped)
}

func TestAProgramForAnotherMachineIsAnErrorThatSaysSo(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", packed("v1", "no program")))))
	v := w.waitPhase(t, "v1", lifecycle.Error)
	require.Contains(t, v.Reason, "node b cannot be started: ")
	require.Contains(t, v.Reason, "is no program for this machine")
}

func TestAPackageThatIsMissingIsAnErrorUntilItIsThere(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	p := packed("v1")
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, p.digest())))
	v := w.waitPhase(t, "v1", lifecycle.Error)
	require.Equal(t, "fetch the package: version v1 has no package", v.Reason)
	w.upload("v1", p)
	w.waitPhase(t, "v1", lifecycle.Started)
}

func TestAPackageThatIsAnotherOneIsNotRun(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	digest := packed("v1").digest()
	other := w.upload("v1", packed("v1", good+"# changed\n"))
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, digest)))
	v := w.waitPhase(t, "v1", lifecycle.Error)
	require.Equal(t, "the package that is stored has the digest "+other+", not "+digest+" as expected", v.Reason)
	left, err := os.ReadDir(w.path("packages"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(left), 1, "at most the next attempt is there")
	require.NoDirExists(t, w.path("packages", digest))
}

func TestAMissingValueIsAnErrorThatNamesIt(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := desired("v1", 1, w.upload("v1", packed("v1")))
	v.Variables = nil
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	require.Equal(t, "node b needs the configuration value COLOR, which is not set", w.waitPhase(t, "v1", lifecycle.Error).Reason)
	v.Revision, v.Variables = 2, map[string]string{"COLOR": "red"}
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Started)
}

func TestAChangedValueRestartsTheNodesThatGetIt(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	// With the other value it is not ready before it is let.
	gate := filepath.Join(t.TempDir(), "gate")
	p := packed("v1", strings.Replace(good, "touch", "while grep -q other \"$CERT\" && [ ! -e "+gate+" ]; do sleep 0.02; done\ntouch", 1))
	p["krt.yml"] = strings.Replace(p["krt.yml"], "startTimeout: 2s", "startTimeout: 1m", 1)
	v := desired("v1", 1, w.upload("v1", p))
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Started)
	before := w.pids(t, "v1")
	v.Revision, v.Files = 2, map[string][]byte{"CERT": []byte("other")}
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	require.Equal(t, lifecycle.Starting, w.version(t, "v1").Phase, "at once")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	w.eventually(t, "the new value", func() bool { return strings.Contains(w.log(t, "v1", "work.b-0"), "color blue other\n") })
	w.waitPhase(t, "v1", lifecycle.Started)
	after := w.pids(t, "v1")
	require.NotEqual(t, before["work.b-0"], after["work.b-0"])
	after["work.b-0"] = before["work.b-0"]
	require.Equal(t, before, after, "nobody else gets it")

	v.Revision = 3
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.wait(t, "the revision", func(s lifecycle.RuntimeStatus) bool { return s.Versions[0].Revision == 3 })
	require.Equal(t, lifecycle.Started, w.version(t, "v1").Phase, "nothing has changed")
}

func TestReplicasAreRestartedOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	p := packed("v1")
	p["krt.yml"] = strings.Replace(p["krt.yml"], "replicas: 2, config: []", "replicas: 2", 1)
	// A node with another color is not ready before it is let.
	gate := filepath.Join(t.TempDir(), "gate")
	p["bin/a"] = strings.Replace(good, "#!/bin/sh\n", "#!/bin/sh\nwhile [ $COLOR = red ] && [ ! -e "+gate+" ]; do sleep 0.02; done\n", 1)
	v := desired("v1", 1, w.upload("v1", p))
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Started)
	before := w.pids(t, "v1")
	v.Revision, v.Variables = 2, map[string]string{"COLOR": "red"}
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))

	changed := func() (names []string) {
		for name, pid := range before {
			if w.record(t, "v1", name).PID != pid {
				names = append(names, name)
			}
		}
		return names
	}
	// b, the last, comes first, then a replica of a, which is not ready.
	w.eventually(t, "two have been replaced", func() bool {
		return len(changed()) == 2 && w.record(t, "v1", "work.a-1").State == proc.StateStarting
	})
	require.Equal(t, before["work.a-0"], w.record(t, "v1", "work.a-0").PID, "one replica is there")
	require.Equal(t, lifecycle.Starting, w.version(t, "v1").Phase)
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	w.eventually(t, "all nodes have been replaced", func() bool { return len(changed()) == 3 })
	w.waitPhase(t, "v1", lifecycle.Started)
	require.Equal(t, before["entrypoint-0"], w.pids(t, "v1")["entrypoint-0"])
}

func TestAVersionIsDeletedWithWhatItHasOnceItDoesNotRun(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	err := w.cluster.DeleteVersion(t.Context(), "prices", "v1")
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	v.Revision, v.Running = 2, false
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, "v1", lifecycle.Stopped)
	require.DirExists(t, w.path("packages", v.Digest))

	require.NoError(t, w.cluster.DeleteVersion(t.Context(), "prices", "v1"))
	w.wait(t, "gone", func(s lifecycle.RuntimeStatus) bool { return len(s.Versions) == 0 })
	require.Equal(t, []string{"remove v1"}, w.api.calls("remove"))
	require.NoDirExists(t, w.path("versions", "v1"))
	w.eventually(t, "the package is removed", func() bool {
		_, err := os.Stat(w.path("packages", v.Digest))
		return os.IsNotExist(err)
	})
	require.NoError(t, w.cluster.DeleteVersion(t.Context(), "prices", "v1"))
}

func TestAVersionThatDoesNotBecomeReadyIsPreparedAgain(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	// It finds what it needs at the broker only once that has been made again.
	made := filepath.Join(t.TempDir(), "made")
	waiting := strings.Replace(good, "#!/bin/sh\n", "#!/bin/sh\n[ -e "+made+" ] || exit 3\n", 1)
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", packed("v1", waiting)))))
	w.waitPhase(t, "v1", lifecycle.Error)
	w.eventually(t, "prepared again", func() bool { return len(w.api.calls("prepare")) > 1 })
	require.NoError(t, os.WriteFile(made, nil, 0o600))
	w.waitPhase(t, "v1", lifecycle.Started)
}
