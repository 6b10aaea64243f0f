package proc_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

func TestIsReadyWhenItsReadyFileAppearsAndNotByAnOldOne(t *testing.T) {
	s, told := supervisor(t)
	dir := t.TempDir()
	spec := shell("node", `read -r go < go; touch ready; sleep 1000`)
	spec.Dir, spec.ReadyFile = dir, filepath.Join(dir, "ready")
	require.NoError(t, os.WriteFile(spec.ReadyFile, nil, 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "go"), 0o600))

	p := s.Start(spec)
	ctx := patience(t)
	told.event(ctx, proc.Starting)
	require.NoFileExists(t, spec.ReadyFile)
	select {
	case <-p.Ready():
		require.Fail(t, "ready by an old file")
	default:
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte("\n"), 0o600))
	require.NoError(t, p.WaitReady(ctx))
	require.Positive(t, told.event(ctx, proc.Ready).Took)
}

func TestOneThatEndsBeforeItIsReadyIsNotStartedAgain(t *testing.T) {
	s, told := supervisor(t)
	spec := shell("model", `echo loading; echo "no such model" >&2; exit 3`)
	spec.ReadyFile, spec.Restart = filepath.Join(t.TempDir(), "ready"), true

	p := s.Start(spec)
	err := p.WaitReady(patience(t))
	require.EqualError(t, err, "model ended with code 3 before it was ready")
	var failure *proc.Failure
	require.ErrorAs(t, err, &failure)
	require.ElementsMatch(t, []string{"loading", "no such model"}, failure.Tail)
	ended := told.event(patience(t), proc.Ended)
	require.Equal(t, 1, ended.Start)
	require.Equal(t, 3, ended.Exit.Code)
	require.ErrorIs(t, ended.Err, failure)
}

func TestOneThatDiesAfterItWasReadyIsStartedAgainLaterEachTime(t *testing.T) {
	s, told := supervisor(t)
	dir := t.TempDir()
	spec := shell("node", `touch ready; exit 1`)
	spec.Dir, spec.ReadyFile, spec.Restart = dir, filepath.Join(dir, "ready"), true
	spec.Backoff = proc.Backoff{First: time.Millisecond, Max: 4 * time.Millisecond, Well: time.Hour}

	p := s.Start(spec)
	var pauses []time.Duration
	for start := 1; start <= 4; start++ {
		e := told.event(patience(t), proc.Exited)
		require.Equal(t, start, e.Start)
		require.Equal(t, 1, e.Exit.Code)
		pauses = append(pauses, e.Next)
	}
	require.Equal(t, []time.Duration{time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, 4 * time.Millisecond}, pauses)
	p.Stop(time.Minute)
	waitEnded(t, p)
	require.NoError(t, p.Err())
}

func TestOneThatWasReadyOnceIsStartedAgainEvenIfItsNextStartFails(t *testing.T) {
	s, told := supervisor(t)
	dir := t.TempDir()
	spec := shell("node", `[ -e second ] && exit 7; touch second ready; exit 1`)
	spec.Dir, spec.ReadyFile, spec.Restart = dir, filepath.Join(dir, "ready"), true
	spec.Backoff = proc.Backoff{First: time.Millisecond}
	s.Start(spec)
	require.Equal(t, 1, told.event(patience(t), proc.Exited).Exit.Code)
	require.Equal(t, 7, told.event(patience(t), proc.Exited).Exit.Code)
	require.Equal(t, 7, told.event(patience(t), proc.Exited).Exit.Code)
}

func TestOneThatIsNotReadyInTimeIsKilled(t *testing.T) {
	s, _ := supervisor(t)
	spec := shell("slow", `echo thinking; sleep 1000`)
	spec.ReadyFile, spec.StartTimeout = filepath.Join(t.TempDir(), "ready"), 300*time.Millisecond
	p := s.Start(spec)
	require.EqualError(t, p.WaitReady(patience(t)), "slow was not ready after 300ms")
}

func TestStopAsksFirst(t *testing.T) {
	s, told := supervisor(t)
	p := s.Start(shell("node", `trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.01; done`))
	require.Equal(t, "hello", told.line(patience(t)).Text)
	p.Stop(time.Minute)
	waitEnded(t, p)
	require.NoError(t, p.Err())
	require.Equal(t, "bye", told.line(patience(t)).Text)
	ended := told.event(patience(t), proc.Ended)
	require.True(t, ended.Asked)
	require.Equal(t, proc.Exit{}, ended.Exit)
}

func TestStopKillsOneThatDoesNotEndInTimeAndAllItStarted(t *testing.T) {
	s, told := supervisor(t)
	p := s.Start(shell("deaf", `trap '' TERM; sleep 1000 & echo $!; wait`))
	child := number(t, told.line(patience(t)).Text)
	p.Stop(50 * time.Millisecond)
	waitEnded(t, p)
	requireGone(t, child)
	ended := told.event(patience(t), proc.Ended)
	require.Equal(t, "was killed by SIGKILL: it did not end in time", ended.Exit.String())
	require.NoError(t, p.Err())
}

func TestASecondStopShortensTheGrace(t *testing.T) {
	s, told := supervisor(t)
	p := s.Start(shell("deaf", `trap '' TERM; echo up; while :; do sleep 0.01; done`))
	told.line(patience(t))
	p.Stop(time.Hour)
	told.event(patience(t), proc.Stopping)
	p.Stop(0)
	waitEnded(t, p)
}

func TestStopEndsThePauseBeforeARestart(t *testing.T) {
	s, told := supervisor(t)
	spec := shell("node", `exit 1`)
	spec.Restart, spec.Backoff = true, proc.Backoff{First: time.Hour}
	p := s.Start(spec)
	told.event(patience(t), proc.Exited)
	p.Stop(time.Hour)
	waitEnded(t, p)
	require.True(t, told.event(patience(t), proc.Ended).Asked)
}

func TestWhatAProcessLeavesBehindIsKilled(t *testing.T) {
	s, told := supervisor(t)
	p := s.Start(shell("parent", `sleep 1000 & echo $!; exit 0`))
	child := number(t, told.line(patience(t)).Text)
	waitEnded(t, p)
	requireGone(t, child)
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	told := newRecorder()
	s := proc.New(proc.Options{Observer: told})
	processes := []*proc.Process{
		s.Start(shell("a", `trap '' TERM; echo $$; while :; do sleep 0.01; done`)),
		s.Start(shell("b", `trap '' TERM; echo $$; while :; do sleep 0.01; done`)),
	}
	pids := []int{number(t, told.line(patience(t)).Text), number(t, told.line(patience(t)).Text)}
	s.Close()
	for i, p := range processes {
		waitEnded(t, p)
		requireGone(t, pids[i])
	}
	require.EqualError(t, s.Start(shell("late", "exit 0")).Err(), "late was not started: the supervisor is closed")
}

func TestNothingOfOurEnvironmentReachesAProcess(t *testing.T) {
	t.Setenv("PROC_TEST_SECRET", "x")
	s, told := supervisor(t)
	spec := proc.Spec{Name: "env", Path: "/usr/bin/env", Env: []string{"ONLY=this"}}
	waitEnded(t, s.Start(spec))
	require.Equal(t, "ONLY=this", told.line(patience(t)).Text)
	spec.Env = nil
	waitEnded(t, s.Start(spec))
	require.Empty(t, told.lines)
}

func TestAKilledSupervisorLeavesNoProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("without a guard only Linux ends the processes of a killed supervisor")
	}
	parent, _ := killedSupervisor(t)
	requireGone(t, parent)
}

func TestAGuardedSupervisorThatIsKilledLeavesNothingItsProcessesStartedEither(t *testing.T) {
	parent, child := killedSupervisor(t, "PROC_TEST_GUARDED=1")
	requireGone(t, parent)
	requireGone(t, child)
}
