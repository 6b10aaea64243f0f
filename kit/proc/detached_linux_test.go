package proc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/konstellation-io/kre/kit/proc"
)

// mark is a variable of the environment by which a test finds the processes that it has started.
const mark = "PROC_TEST_MARK="

// detached is a shell script that outlives its supervisor, in a folder of its own. It is ready when the file "ready" is
// there. A supervisor of this test is made after it, so that it is closed before the folder is removed.
func detached(t *testing.T, script string) proc.Spec {
	t.Helper()
	dir := t.TempDir()
	spec := shell("node", script)
	spec.Dir, spec.ReadyFile = dir, filepath.Join(dir, "ready")
	spec.Env = append(spec.Env, mark+dir)
	spec.Restart, spec.RestartUnready = true, true
	spec.Backoff = proc.Backoff{First: time.Millisecond, Max: 10 * time.Millisecond, Well: time.Hour}
	spec.Detached = &proc.Detached{StateFile: filepath.Join(dir, "state", "node.json"), LogFile: filepath.Join(dir, "logs", "node.log")}
	t.Cleanup(func() {
		for _, pid := range marked(t, dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return spec
}

// marked are the processes that were started in a folder and live.
func marked(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	var found []int
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !slices.Contains(strings.Split(string(environ), "\x00"), mark+dir) {
			continue
		}
		if pid := number(t, strings.Split(file, "/")[2]); alive(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// recorded waits until the state file says what is wanted.
func recorded(t *testing.T, spec proc.Spec, wanted func(proc.Record) bool) proc.Record {
	t.Helper()
	var last proc.Record
	require.Eventually(t, func() bool {
		r, err := proc.ReadRecord(spec.Detached.StateFile)
		if err != nil {
			return false
		}
		last = r
		return wanted(r)
	}, 30*time.Second, 2*time.Millisecond, "%s", &text{func() string { return fmt.Sprintf("%+v", last) }})
	return last
}

// text is told when a test fails, and not before.
type text struct{ of func() string }

func (t *text) String() string { return t.of() }

func in(state string) func(proc.Record) bool {
	return func(r proc.Record) bool { return r.State == state }
}

// superviseGiven supervises what it is told, until it is killed.
func superviseGiven() {
	var spec proc.Spec
	if err := json.Unmarshal([]byte(os.Getenv("PROC_TEST_SPEC")), &spec); err != nil {
		panic(err)
	}
	proc.New(proc.Options{}).Start(spec)
	select {}
}

// elsewhere supervises a process in a program of its own; the function kills that program.
func elsewhere(t *testing.T, spec proc.Spec) (kill func()) {
	t.Helper()
	told, err := json.Marshal(spec)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"PROC_TEST_ROLE=detaching", "PROC_TEST_SPEC=" + string(told), "PATH=" + os.Getenv("PATH")}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	return kill
}

const readyForever = `echo "hello from $$"; touch ready; exec sleep 1000`

func TestADetachedProcessPrintsIntoItsFileAndIsRecorded(t *testing.T) {
	spec := detached(t, `echo out; echo err >&2; touch ready; exec sleep 1000`)
	s, told := supervisor(t)
	spec.Detached.Stamp = "first"
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, p.PID(), told.event(patience(t), proc.Ready).PID)

	r := recorded(t, spec, in(proc.StateReady))
	require.Equal(t, p.PID(), r.PID)
	require.True(t, r.Runs())
	require.Equal(t, "first", r.Stamp)
	require.WithinDuration(t, time.Now(), r.Since, time.Minute)
	require.Equal(t, []string{"out", "err"}, p.Tail())
	logged, err := os.ReadFile(spec.Detached.LogFile)
	require.NoError(t, err)
	require.Equal(t, "out\nerr\n", string(logged))
	sid, err := unix.Getsid(p.PID())
	require.NoError(t, err)
	require.Equal(t, p.PID(), sid, "it has a session of its own")
	for _, file := range []string{spec.Detached.StateFile, spec.Detached.LogFile} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

func TestAStateFileIsWrittenAsOthersReadIt(t *testing.T) {
	spec := detached(t, readyForever)
	s, _ := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	recorded(t, spec, in(proc.StateReady))
	content, err := os.ReadFile(spec.Detached.StateFile)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(content, &fields))
	require.Equal(t, "READY because of '' after ''",
		fmt.Sprintf("%v because of '%v' after '%v'", fields["state"], fields["reason"], fields["last_log_line"]))
	require.EqualValues(t, p.PID(), fields["pid"])
	require.EqualValues(t, 0, fields["restarts"])
	require.Positive(t, fields["pid_start"])
	_, err = time.Parse(time.RFC3339Nano, fields["since"].(string))
	require.NoError(t, err)
}

func TestAKilledSupervisorsProcessGoesOnAndTheNextOneFindsIt(t *testing.T) {
	spec := detached(t, `[ -e once ] || { touch once; touch ready; exit 3; }; touch ready; exec sleep 1000`)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, func(r proc.Record) bool { return r.State == proc.StateReady && r.Restarts == 1 })
	kill()
	require.True(t, alive(before.PID))

	s, told := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, before.PID, p.PID())
	require.Equal(t, 2, told.event(patience(t), proc.Ready).Start)
	r := recorded(t, spec, in(proc.StateReady))
	require.Equal(t, before.PIDStart, r.PIDStart)
	require.Equal(t, "ended with code 3", r.Reason, "it has not been well for long")
	require.True(t, before.Since.Equal(r.Since))

	// It is looked after like one of its own, but for the code of its exit.
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	exited := told.event(patience(t), proc.Exited)
	require.Equal(t, "ended", exited.Exit.String())
	require.True(t, exited.Exit.Unknown)
	require.EqualError(t, exited.Err, "node ended")
	again := recorded(t, spec, func(r proc.Record) bool { return r.State == proc.StateReady && r.Restarts == 2 })
	require.NotEqual(t, before.PID, again.PID)
}

func TestAFoundProcessIsStoppedWithAllItStarted(t *testing.T) {
	spec := detached(t, `trap 'echo bye; exit 0' TERM; sleep 1000 & echo $! > child; touch ready; wait`)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))
	kill()
	child := numberIn(t, filepath.Join(spec.Dir, "child"))
	require.True(t, alive(child))

	s, told := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	p.Stop(time.Minute)
	waitEnded(t, p)
	require.NoError(t, p.Err())
	require.True(t, told.event(patience(t), proc.Ended).Asked)
	require.False(t, alive(before.PID))
	requireGone(t, child)
	require.Equal(t, []string{"bye"}, p.Tail())
	r := recorded(t, spec, in(proc.StateStopped))
	require.Zero(t, r.PID)
	require.Empty(t, r.Reason)
}

func TestAFoundProcessThatDoesNotEndInTimeIsKilled(t *testing.T) {
	spec := detached(t, `trap '' TERM; touch ready; while :; do sleep 0.01; done`)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))
	kill()
	s, told := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	p.Stop(50 * time.Millisecond)
	waitEnded(t, p)
	require.False(t, alive(before.PID))
	require.Equal(t, "was killed: it did not end in time", told.event(patience(t), proc.Ended).Exit.String())
}

func TestOneThatWasStartingWhenItsSupervisorDiedIsFound(t *testing.T) {
	spec := detached(t, `read -r go < go; touch ready; exec sleep 1000`)
	require.NoError(t, syscall.Mkfifo(filepath.Join(spec.Dir, "go"), 0o600))
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateStarting))
	kill()

	s, told := supervisor(t)
	p := s.Start(spec)
	require.Equal(t, before.PID, told.event(patience(t), proc.Starting).PID)
	require.NoError(t, os.WriteFile(filepath.Join(spec.Dir, "go"), []byte("\n"), 0o600))
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, before.PID, recorded(t, spec, in(proc.StateReady)).PID)
}

func TestOneThatWasStartingMustStillBeReadyInTime(t *testing.T) {
	spec := detached(t, `exec sleep 1000`)
	spec.StartTimeout = time.Hour
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateStarting))
	kill()
	spec.StartTimeout = time.Nanosecond // which has passed since
	spec.Backoff = proc.Backoff{First: time.Hour}
	s, _ := supervisor(t)
	s.Start(spec)
	r := recorded(t, spec, in(proc.StateFailed))
	require.Equal(t, "was not ready after 1ns", r.Reason)
	require.False(t, alive(before.PID))
}

func TestOneThatDiedWhileNobodyLookedAfterItIsStartedAgain(t *testing.T) {
	spec := detached(t, readyForever)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))
	kill()
	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	requireGone(t, before.PID)

	s, told := supervisor(t)
	p := s.Start(spec)
	require.EqualError(t, told.event(patience(t), proc.Exited).Err, "node ended while nobody looked after it")
	require.NoError(t, p.WaitReady(patience(t)))
	r := recorded(t, spec, in(proc.StateReady))
	require.Equal(t, 1, r.Restarts)
	require.Equal(t, fmt.Sprintf("hello from %d", before.PID), r.LastLogLine)
}

func TestAPauseBeforeARestartOutlivesTheSupervisor(t *testing.T) {
	spec := detached(t, `echo started >> starts; exit 1`)
	spec.Backoff = proc.Backoff{First: time.Hour}
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateFailed))
	kill()
	s, told := supervisor(t)
	p := s.Start(spec)
	exited := told.event(patience(t), proc.Exited)
	require.Equal(t, 1, exited.Start)
	require.Greater(t, exited.Next, 30*time.Minute)
	require.Equal(t, before, p.Record())
	starts, err := os.ReadFile(filepath.Join(spec.Dir, "starts"))
	require.NoError(t, err)
	require.Equal(t, "started\n", string(starts))
	p.Stop(time.Minute)
	waitEnded(t, p)
	recorded(t, spec, in(proc.StateStopped))
}

func TestARecycledNumberIsNeverTakenForTheProcess(t *testing.T) {
	stranger := exec.Command("sleep", "1000")
	require.NoError(t, stranger.Start())
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	tests := map[string]func(*proc.Record){
		"of a process that began later": func(r *proc.Record) { r.PIDStart-- },
		"of another boot":               func(r *proc.Record) { r.Boot = "another" },
	}
	for name, recycle := range tests {
		t.Run(name, func(t *testing.T) {
			spec := detached(t, readyForever)
			kill := elsewhere(t, spec)
			r := recorded(t, spec, in(proc.StateReady))
			kill()
			require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, 0))
			r.PID, r.PIDStart = stranger.Process.Pid, startOf(t, stranger.Process.Pid)
			require.True(t, r.Runs())
			recycle(&r)
			require.False(t, r.Runs())
			writeRecord(t, spec, r)

			s, _ := supervisor(t)
			p := s.Start(spec)
			require.NoError(t, p.WaitReady(patience(t)))
			require.NotEqual(t, stranger.Process.Pid, p.PID())
			require.True(t, alive(stranger.Process.Pid))
			p.Stop(0)
			waitEnded(t, p)
			writeRecord(t, spec, r)
			require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, 0))
			require.True(t, alive(stranger.Process.Pid))
		})
	}
}

func TestOneThatWasStartedAndNotRecordedIsNotLeftBesideTheNext(t *testing.T) {
	spec := detached(t, readyForever)
	kill := elsewhere(t, spec)
	lost := recorded(t, spec, in(proc.StateReady))
	kill()
	require.NoError(t, os.Remove(spec.Detached.StateFile)) // as if it had been killed just before it wrote it

	s, _ := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, []int{p.PID()}, marked(t, spec.Dir))
	require.False(t, alive(lost.PID))
}

func TestASupervisorThatIsKilledAtAnyMomentNeverLeavesTwo(t *testing.T) {
	spec := detached(t, readyForever)
	moments := []string{
		spec.Detached.StateFile + ".lock", spec.Detached.StateFile + ".run", spec.Detached.LogFile, spec.ReadyFile, spec.Detached.StateFile,
	}
	for _, moment := range moments {
		require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, 0))
		require.NoError(t, os.RemoveAll(filepath.Dir(spec.Detached.StateFile)))
		require.NoError(t, os.RemoveAll(filepath.Dir(spec.Detached.LogFile)))
		require.NoError(t, os.RemoveAll(spec.ReadyFile))
		kill := elsewhere(t, spec)
		for deadline := patience(t); ; {
			if _, err := os.Stat(moment); err == nil {
				break
			}
			require.NoError(t, deadline.Err(), "waiting for %s", moment)
		}
		kill()
		s := proc.New(proc.Options{})
		p := s.Start(spec)
		require.NoError(t, p.WaitReady(patience(t)))
		require.Equal(t, []int{p.PID()}, marked(t, spec.Dir), moment)
		s.Close()
	}
}

func TestASecondSupervisorWaitsForTheEndOfTheFirst(t *testing.T) {
	spec := detached(t, readyForever)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))

	s, _ := supervisor(t)
	p, impatient := s.Start(spec), s.Start(spec)
	impatient.Stop(0)
	waitEnded(t, impatient)
	require.EqualError(t, impatient.Err(), "node is still looked after by another supervisor")
	require.ErrorIs(t, impatient.Err(), proc.ErrLookedAfter)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, proc.EndRecorded(ctx, spec.Detached.StateFile, 0), context.Canceled)
	require.True(t, alive(before.PID))
	require.Zero(t, p.PID())

	kill()
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, before.PID, p.PID())
}

func TestCloseLeavesDetachedProcessesAlone(t *testing.T) {
	spec := detached(t, readyForever)
	s := proc.New(proc.Options{})
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	pid := p.PID()
	s.Close()
	waitEnded(t, p)
	require.EqualError(t, p.Err(), "node is no longer looked after")
	require.True(t, alive(pid))
	require.Equal(t, proc.StateReady, recorded(t, spec, in(proc.StateReady)).State)

	next, _ := supervisor(t)
	again := next.Start(spec)
	require.NoError(t, again.WaitReady(patience(t)))
	require.Equal(t, pid, again.PID())
	again.Stop(time.Minute)
	waitEnded(t, again)
	fresh := next.Start(spec)
	require.NoError(t, fresh.WaitReady(patience(t)))
	require.Zero(t, fresh.Record().Restarts)
	require.NotEqual(t, pid, fresh.PID())
}

func TestOneThatFailsBeforeItIsReadyIsTriedUntilItIs(t *testing.T) {
	spec := detached(t, `echo; [ -e fixed ] && { touch ready; exec sleep 1000; }; echo "no such model" >&2; exit 1`)
	s, _ := supervisor(t)
	p := s.Start(spec)
	r := recorded(t, spec, func(r proc.Record) bool { return r.State == proc.StateFailed && r.Restarts > 2 })
	require.Equal(t, "ended with code 1 before it was ready", r.Reason)
	require.Equal(t, "no such model", r.LastLogLine)
	require.NoError(t, os.WriteFile(filepath.Join(spec.Dir, "fixed"), nil, 0o600))
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, proc.StateReady, p.Record().State)
}

func TestItStaysFailedUntilAStartIsReady(t *testing.T) {
	spec := detached(t, `[ -e tried ] || { touch tried; exit 1; }; read -r go < go; touch ready; exec sleep 1000`)
	s, told := supervisor(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(spec.Dir, "go"), 0o600))
	p := s.Start(spec)
	told.event(patience(t), proc.Exited)
	require.Equal(t, 2, told.event(patience(t), proc.Starting).Start)
	r := p.Record()
	require.Equal(t, proc.StateFailed, r.State)
	require.NotZero(t, r.PID)
	require.NoError(t, os.WriteFile(filepath.Join(spec.Dir, "go"), []byte("\n"), 0o600))
	require.NoError(t, p.WaitReady(patience(t)))
	require.Equal(t, proc.StateReady, p.Record().State)
}

func TestOneThatIsNotReadyInTimeIsTriedAgain(t *testing.T) {
	spec := detached(t, `exec sleep 1000`)
	s, told := supervisor(t)
	spec.StartTimeout = 50 * time.Millisecond
	s.Start(spec)
	for start := 1; start <= 2; start++ {
		exited := told.event(patience(t), proc.Exited)
		require.Equal(t, start, exited.Start)
		require.EqualError(t, exited.Err, "node was not ready after 50ms")
		require.False(t, alive(exited.PID))
	}
}

func TestOneThatCannotBeStartedIsTriedAgain(t *testing.T) {
	spec := detached(t, "")
	s, _ := supervisor(t)
	spec.Path, spec.Args = filepath.Join(spec.Dir, "program"), nil
	p := s.Start(spec)
	r := recorded(t, spec, in(proc.StateFailed))
	require.Contains(t, r.Reason, "cannot be started: "+spec.Path+" does not exist")
	require.Empty(t, r.LastLogLine)
	require.NoError(t, os.WriteFile(spec.Path+".part", []byte("#!/bin/sh\ntouch ready; exec sleep 1000\n"), 0o700))
	require.NoError(t, os.Rename(spec.Path+".part", spec.Path))
	require.NoError(t, p.WaitReady(patience(t)))
}

func TestWhyItFailedIsForgottenWhenItIsWell(t *testing.T) {
	spec := detached(t, `[ -e tried ] || { touch tried; exit 1; }; touch ready; exec sleep 1000`)
	s, _ := supervisor(t)
	spec.Backoff.Well = 50 * time.Millisecond
	s.Start(spec)
	recorded(t, spec, func(r proc.Record) bool { return r.State == proc.StateReady && r.Reason == "" && r.Restarts == 1 })
}

func TestEndRecordedEndsWhatNobodyLooksAfter(t *testing.T) {
	spec := detached(t, `trap 'echo bye; exit 0' TERM; sleep 1000 & touch ready; wait`)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))
	kill()
	require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, time.Minute))
	require.False(t, alive(before.PID))
	require.Eventually(t, func() bool { return len(marked(t, spec.Dir)) == 0 }, 30*time.Second, 5*time.Millisecond)
	r := recorded(t, spec, in(proc.StateStopped))
	require.Zero(t, r.PID)
	logged, err := os.ReadFile(spec.Detached.LogFile)
	require.NoError(t, err)
	require.Equal(t, "bye\n", string(logged))
	require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, time.Minute), "again")
}

func TestEndRecordedKillsWhatDoesNotEndInTime(t *testing.T) {
	spec := detached(t, `trap '' TERM; touch ready; while :; do sleep 0.01; done`)
	kill := elsewhere(t, spec)
	before := recorded(t, spec, in(proc.StateReady))
	kill()
	require.NoError(t, proc.EndRecorded(patience(t), spec.Detached.StateFile, 50*time.Millisecond))
	require.False(t, alive(before.PID))
}

func TestARecordThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	spec := detached(t, readyForever)
	spec.Detached.LogFile = filepath.Join(spec.Dir, "node.log")
	spec.Backoff = proc.Backoff{First: time.Hour} // nothing else is written meanwhile
	s, _ := supervisor(t)
	folder := filepath.Join(spec.Dir, "folder")
	require.NoError(t, os.Symlink(folder, filepath.Dir(spec.Detached.StateFile)))
	require.NoError(t, os.Mkdir(folder, 0o700))
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	moved := filepath.Join(spec.Dir, "moved")
	require.NoError(t, os.Rename(folder, moved)) // now the folder is not there
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	require.Eventually(t, func() bool { return p.Record().State == proc.StateFailed }, 30*time.Second, 2*time.Millisecond)
	require.NoError(t, os.Rename(moved, folder))
	recorded(t, spec, in(proc.StateFailed))
}

func TestEndRecordedLeavesNoFilesWhereNothingWasStarted(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, proc.EndRecorded(patience(t), filepath.Join(dir, "state", "node.json"), 0))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestWhatLeftTheGroupOfAStoppedProcessIsKilledToo(t *testing.T) {
	spec := detached(t, `setsid sleep 1000 & echo $! > child; touch ready; wait`)
	s, _ := supervisor(t)
	p := s.Start(spec)
	require.NoError(t, p.WaitReady(patience(t)))
	require.Eventually(t, func() bool { return len(marked(t, spec.Dir)) == 2 }, 30*time.Second, 5*time.Millisecond)
	p.Stop(time.Minute)
	waitEnded(t, p)
	require.Empty(t, marked(t, spec.Dir))
}

func TestTheLastLineIsFoundInALogThatWasFreedInPart(t *testing.T) {
	spec := detached(t, `echo "the last words"; exit 1`)
	s, _ := supervisor(t)
	spec.Backoff = proc.Backoff{First: time.Hour}
	require.NoError(t, os.MkdirAll(filepath.Dir(spec.Detached.LogFile), 0o700))
	require.NoError(t, os.WriteFile(spec.Detached.LogFile, bytes.Repeat([]byte{0}, 1<<20), 0o600))
	p := s.Start(spec)
	r := recorded(t, spec, in(proc.StateFailed))
	require.Equal(t, "the last words", r.LastLogLine)
	require.EqualValues(t, 1<<20, r.LogFrom)
	require.Equal(t, []string{"the last words"}, p.Tail())
}

func TestALastLineThatIsVeryLongIsFoundToo(t *testing.T) {
	spec := detached(t, `echo before; printf '{"message":"the last words","stack":"'; head -c 1600000 /dev/zero | tr '\0' x; echo '"}'; exit 1`)
	s, _ := supervisor(t)
	spec.Backoff = proc.Backoff{First: time.Hour}
	p := s.Start(spec)
	r := recorded(t, spec, in(proc.StateFailed))
	require.Len(t, r.LastLogLine, 4<<10)
	require.True(t, strings.HasPrefix(r.LastLogLine, `{"message":"the last words","stack":"xx`))
	tail := p.Tail()
	require.Len(t, tail, 2)
	require.True(t, strings.HasSuffix(tail[1], `x"}`))
}

func numberIn(t *testing.T, file string) int {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return number(t, string(content))
}

func startOf(t *testing.T, pid int) uint64 {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	ticks, err := strconv.ParseUint(strings.Fields(string(stat))[21], 10, 64)
	require.NoError(t, err)
	return ticks
}

func writeRecord(t *testing.T, spec proc.Spec, r proc.Record) {
	t.Helper()
	content, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(spec.Detached.StateFile, content, 0o600))
}
