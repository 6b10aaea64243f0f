package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// endWithin is how long `kre run` may take to end after Ctrl-C: nodes finish what they run.
const endWithin = 60 * time.Second

// Options say what is run.
type Options struct {
	Target string            // folder of a project, or a .krt file
	Args   []string          // further arguments of `kre run`
	Env    map[string]string // added to the environment of kre
	Kre    string            // path of another kre than the one that was built
}

func (o Options) kre(t testing.TB) string {
	if o.Kre != "" {
		return o.Kre
	}
	return Program(t, "kre")
}

// Run is a `kre run`.
type Run struct {
	Info Info // known once it is ready

	cmd    *exec.Cmd
	file   string // where kre writes Info
	output output
	ended  chan struct{}
}

// Info is what `kre run` tells other programs about itself.
type Info struct {
	GRPC string `json:"grpc"` // host:port
	HTTP string `json:"http"` // host:port
	NATS string `json:"nats"` // URL, with the token
}

// Start starts `kre run` and returns at once. It is stopped when the test ends, and no process of it may be left then.
func Start(t testing.TB, o Options) *Run {
	t.Helper()
	r := &Run{ended: make(chan struct{})}
	dir := filepath.Dir(o.Target)
	r.file = filepath.Join(dir, ".kre", "run.json")
	if info, err := os.Stat(o.Target); err == nil && info.IsDir() {
		r.file = filepath.Join(o.Target, ".kre", "run.json")
	}
	args := append([]string{"run", o.Target, "--grpc-port=0", "--http-port=0"}, o.Args...)
	r.cmd = exec.Command(o.kre(t), args...)
	r.cmd.Dir = dir
	r.cmd.Env = os.Environ()
	for _, key := range slices.Sorted(maps.Keys(o.Env)) {
		r.cmd.Env = append(r.cmd.Env, key+"="+o.Env[key])
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.cmd.WaitDelay = 5 * time.Second // should a process that is left hold the pipe
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() { r.Stop(t) })
	return r
}

// Ready starts `kre run` and returns when the version takes calls.
func Ready(t testing.TB, o Options) *Run {
	t.Helper()
	r := Start(t, o)
	r.WaitReady(t)
	return r
}

// WaitReady waits until the version takes calls.
func (r *Run) WaitReady(t testing.TB) {
	t.Helper()
	Eventually(t, "kre run is ready", func() (bool, string) {
		select {
		case <-r.ended:
			require.FailNow(t, "kre run ended", "%s\n%s", r.cmd.ProcessState, r.Output())
		default:
		}
		return r.TryReady(), tail(r.Output(), 30)
	})
}

// TryReady reports whether the version takes calls by now, and learns its addresses if it does.
func (r *Run) TryReady() bool {
	content, err := os.ReadFile(r.file)
	return err == nil && json.Unmarshal(content, &r.Info) == nil && r.Info.GRPC != ""
}

// Output returns everything that kre and the nodes have printed so far.
func (r *Run) Output() string { return r.output.String() }

// WaitFor waits until kre or a node has printed the text.
func (r *Run) WaitFor(t testing.TB, text string) {
	t.Helper()
	Eventually(t, "kre run prints "+text, func() (bool, string) {
		seen := r.Output()
		return strings.Contains(seen, text), tail(seen, 30)
	})
}

// WaitEnd waits until kre has ended by itself and returns its exit code.
func (r *Run) WaitEnd(t testing.TB) int {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(Patience):
		require.FailNow(t, "kre run goes on", "%s", tail(r.Output(), 50))
	}
	r.requireNothingLeft(t)
	return r.cmd.ProcessState.ExitCode()
}

// Interrupt sends Ctrl-C to kre alone, as `kill -INT` does.
func (r *Run) Interrupt(t testing.TB) {
	t.Helper()
	require.NoError(t, ignoreEnded(r.cmd.Process.Signal(os.Interrupt)))
}

// Kill ends kre without giving it a chance to do anything about it.
func (r *Run) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, ignoreEnded(r.cmd.Process.Kill()))
	<-r.ended
}

// WaitNothingLeft waits until no process of the run is left.
func (r *Run) WaitNothingLeft(t testing.TB) {
	t.Helper()
	Eventually(t, "no process is left", func() (bool, string) {
		left, err := Session(r.cmd.Process.Pid)
		require.NoError(t, err)
		return len(left) == 0, strings.Join(left, "\n")
	})
}

// InterruptAll sends Ctrl-C to kre and to all that is still in its process group, as a terminal does.
func (r *Run) InterruptAll(t testing.TB) {
	t.Helper()
	require.NoError(t, ignoreEnded(syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT)))
}

func ignoreEnded(err error) error {
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Stop ends the run with Ctrl-C, unless it has ended already, and checks that no process is left.
func (r *Run) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-r.ended:
	default:
		r.Interrupt(t)
		select {
		case <-r.ended:
		case <-time.After(endWithin):
			r.kill()
			require.FailNow(t, "kre run does not end after Ctrl-C", "%s", tail(r.Output(), 50))
		}
	}
	if t.Failed() {
		t.Logf("what kre run printed last:\n%s", tail(r.Output(), 80))
	}
	r.requireNothingLeft(t)
}

func (r *Run) requireNothingLeft(t testing.TB) {
	t.Helper()
	left, err := Session(r.cmd.Process.Pid)
	require.NoError(t, err)
	if len(left) > 0 {
		r.kill()
	}
	require.Empty(t, left, "processes are left after kre has ended")
}

// kill ends what should have ended by itself, so that it does not disturb other tests.
func (r *Run) kill() {
	left, err := Session(r.cmd.Process.Pid)
	if err != nil {
		return
	}
	for _, line := range left {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
}
