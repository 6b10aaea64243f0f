package proc_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

// The test program is also the guard, and the supervisor that gets killed.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST_ROLE") {
	case "guard":
		proc.Guard(os.Stdin)
		return
	case "detaching":
		superviseGiven()
		return
	case "supervisor":
		superviseUntilKilled(os.Getenv("PROC_TEST_GUARDED") != "")
		return
	}
	os.Exit(m.Run())
}

// superviseUntilKilled starts a process that starts another, and prints the numbers of both.
func superviseUntilKilled(guarded bool) {
	var o proc.Options
	if guarded {
		o.Guard = exec.Command(os.Args[0])
		o.Guard.Env = []string{"PROC_TEST_ROLE=guard"}
	}
	told := newRecorder()
	o.Observer = told
	s := proc.New(o)
	s.Start(shell("parent", "sleep 1000 & echo $!; wait"))
	ready := told.event(context.Background(), proc.Ready)
	line := told.line(context.Background())
	fmt.Println(ready.PID, line.Text)
	select {}
}

// shell is a process that runs a shell script.
func shell(name, script string) proc.Spec {
	return proc.Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}}
}

// recorder is an observer that a test can wait on.
type recorder struct {
	events chan proc.Event
	lines  chan proc.Line
}

func newRecorder() *recorder {
	return &recorder{events: make(chan proc.Event, 1000), lines: make(chan proc.Line, 1000)}
}

func (r *recorder) Changed(e proc.Event) { r.events <- e }
func (r *recorder) Printed(l proc.Line)  { r.lines <- l }

// event is the next event with that state; others are skipped.
func (r *recorder) event(ctx context.Context, state proc.State) proc.Event {
	for {
		select {
		case e := <-r.events:
			if e.State == state {
				return e
			}
		case <-ctx.Done():
			return proc.Event{}
		}
	}
}

func (r *recorder) line(ctx context.Context) proc.Line {
	select {
	case l := <-r.lines:
		return l
	case <-ctx.Done():
		return proc.Line{}
	}
}

func supervisor(t *testing.T) (*proc.Supervisor, *recorder) {
	t.Helper()
	told := newRecorder()
	s := proc.New(proc.Options{Observer: told})
	t.Cleanup(s.Close)
	return s, told
}

// patience is a context that ends a test which waits for something that does not come.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitEnded(t *testing.T, p *proc.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-patience(t).Done():
		require.Fail(t, "the process did not end")
	}
}

// alive tells whether a process runs; one that is dead and not reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return !alive(pid) }, 30*time.Second, 5*time.Millisecond, "process %d is left", pid)
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	require.NoError(t, err)
	return n
}

// killedSupervisor starts a supervisor in a process of its own and kills it; the numbers are those it had started.
func killedSupervisor(t *testing.T, env ...string) (parent, child int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append([]string{"PROC_TEST_ROLE=supervisor", "PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var once sync.Once
	kill := func() { once.Do(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) }
	t.Cleanup(kill)

	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	numbers := strings.Fields(line)
	require.Len(t, numbers, 2)
	parent, child = number(t, numbers[0]), number(t, numbers[1])
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	require.True(t, alive(parent))
	require.True(t, alive(child))
	kill()
	return parent, child
}
