package processdir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// state awaits that the only node of a version is in a state.
func (f *fixture) state(t *testing.T, want nodestatus.State) nodestatus.Process {
	t.Helper()
	var seen []nodestatus.Process
	require.Eventually(t, func() bool {
		var err error
		seen, err = f.dir.Processes("prices-v1")
		require.NoError(t, err)
		return len(seen) == 1 && seen[0].State == want
	}, patience, tick, "want state %d", want)
	return seen[0]
}

// script runs a shell script as k8s-manager does. It is ready when there is a file "ready" in its folder.
func (f *fixture) script(t *testing.T, script string) (*proc.Supervisor, *proc.Process, string) {
	t.Helper()
	f.plan(t, "prices-v1", planned{Process: "estimate.model-0", Workflow: "Estimate", Node: "Model"})
	dir := t.TempDir()
	supervisor := proc.New(proc.Options{})
	t.Cleanup(supervisor.Close)
	process := supervisor.Start(proc.Spec{
		Name: "model", Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir, ReadyFile: filepath.Join(dir, "ready"),
		Env: []string{"PATH=" + os.Getenv("PATH")}, Restart: true, RestartUnready: true,
		Backoff: proc.Backoff{First: time.Hour, Max: time.Hour},
		Detached: &proc.Detached{
			StateFile: filepath.Join(f.root, "versions", "prices-v1", "state", "estimate.model-0.json"),
			LogFile:   f.logFile("prices-v1", "estimate.model-0"),
		},
	})
	t.Cleanup(func() { process.Stop(0); <-process.Done() })
	return supervisor, process, dir
}

func TestAProcessIsWhatItsSupervisorSays(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1", planned{Process: "estimate.model-0", Workflow: "Estimate", Node: "Model"})
	require.Zero(t, f.state(t, nodestatus.Stopped).Since, "it was never started")
	_, process, dir := f.script(t, "while ! [ -e go ]; do sleep 0.01; done; touch ready; exec sleep 1000")
	starting := f.state(t, nodestatus.Starting)
	require.NotZero(t, starting.Since)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	ready := f.state(t, nodestatus.Ready)
	require.Empty(t, ready.Reason)
	require.Equal(t, "Model", ready.Node)
	process.Stop(time.Minute)
	f.state(t, nodestatus.Stopped)
}

func TestAProcessThatEndsByItselfHasFailed(t *testing.T) {
	f := open(t)
	f.script(t, `echo first; echo '{"message":"cannot start","error":"no model"}' >&2; exit 3`)
	failed := f.state(t, nodestatus.Failed)
	require.Equal(t, "ended with code 3 before it was ready", failed.Reason)
	require.JSONEq(t, `{"message":"cannot start","error":"no model"}`, failed.LastLogLine)
	nodes, err := nodestatus.NewService(f.dir, nodestatus.Options{}).List(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, "cannot start: no model", nodes[0].LastLogLine)
}

func TestAProcessThatDiedUnseenIsNotReady(t *testing.T) {
	f := open(t)
	f.script(t, "touch ready; exec sleep 1000")
	f.state(t, nodestatus.Ready)
	// What is left when machine and supervisor have ended: the record of a process that is no more.
	file := filepath.Join(f.root, "versions", "prices-v1", "state", "estimate.model-0.json")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	f.plan(t, "prices-v1", planned{Process: "estimate.left-0", Workflow: "Estimate", Node: "Left"})
	left := filepath.Join(filepath.Dir(file), "estimate.left-0.json")
	require.NoError(t, os.WriteFile(left, content, 0o600))
	f.state(t, nodestatus.Ready)

	record, err := proc.ReadRecord(file)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(record.PID, syscall.SIGKILL))
	failed := f.state(t, nodestatus.Failed)
	require.Contains(t, failed.Reason, "it has ended")
}

func TestAStateThatIsNoneIsAnError(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1", planned{Process: "estimate.model-0", Node: "Model"})
	file := filepath.Join(f.root, "versions", "prices-v1", "state", "estimate.model-0.json")
	for _, content := range []string{`{"state":"DANCING"}`, `{`} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := f.dir.Processes("prices-v1")
		require.ErrorContains(t, err, "look at process estimate.model-0 of version prices-v1", fmt.Sprint(content))
	}
}
