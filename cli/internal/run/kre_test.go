package run_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run"
)

// patience is how long a test waits for what should happen soon: the machine may be busy.
const patience = time.Minute

// project is a project whose nodes are shell scripts: what they do with messages is nothing of these tests.
type project struct {
	dir   string
	cache string
}

const manifestHead = `krtVersion: v2
version: shells
`

const manifestNodes = `workflows:
  - name: work
    entrypoint: Work
    exitpoint: last
    nodes:
      - {name: first, image: sh, src: bin/first, subscriptions: [entrypoint]}
      - {name: last, image: sh, src: bin/last, subscriptions: [first]}
`

// ready is a script that is ready, tells its number, and works until it is told to end.
const ready = `#!/bin/sh
trap 'rm -f "$KRE_READY_FILE"; exit 0' TERM
echo "here is $$"
touch "$KRE_READY_FILE"
while :; do sleep 0.02; done
`

func newProject(t *testing.T) project {
	t.Helper()
	p := project{dir: t.TempDir(), cache: t.TempDir()}
	p.write(t, "krt.yml", manifestHead+manifestNodes)
	p.write(t, "bin/first", ready)
	p.write(t, "bin/last", ready)
	return p
}

func (p project) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(p.dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	temp := file + "~" // a program that runs cannot be written to
	require.NoError(t, os.WriteFile(temp, []byte(content), 0o755))
	require.NoError(t, os.Rename(temp, file))
}

// kre is a running `kre run`.
type kre struct {
	project
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{}
}

// run starts `kre run` in a session of its own, by which the test finds what is left of it.
func (p project) run(t *testing.T, args ...string) *kre {
	t.Helper()
	return p.start(t, append([]string{"run", p.dir, "--grpc-port=0", "--http-port=0"}, args...)...)
}

func (p project) start(t *testing.T, args ...string) *kre {
	t.Helper()
	k := &kre{project: p, stdout: &transcript{}, stderr: &transcript{}, ended: make(chan struct{})}
	k.cmd = exec.Command(filepath.Join(programs, "kre"), args...)
	k.cmd.Dir = p.dir
	k.cmd.Env = append(os.Environ(), "KRE_CACHE="+p.cache, "SECRET_OF_THE_SHELL=x", "GORACE=atexit_sleep_ms=0")
	k.cmd.Stdout, k.cmd.Stderr = k.stdout, k.stderr
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	k.cmd.WaitDelay = 10 * time.Second
	require.NoError(t, k.cmd.Start())
	go func() {
		defer close(k.ended)
		_ = k.cmd.Wait() // ProcessState tells
	}()
	t.Cleanup(func() {
		_ = k.cmd.Process.Kill()
		<-k.ended
		if t.Failed() {
			t.Logf("kre printed\n%s%s", k.stdout, k.stderr)
		}
	})
	return k
}

// eventually waits for a condition; seen is what is told when it does not come.
func eventually(t *testing.T, condition func() bool, format string, args ...any) {
	t.Helper()
	require.Eventuallyf(t, condition, patience, 5*time.Millisecond, format, args...)
}

// waitReady waits until the version takes calls, and returns where.
func (k *kre) waitReady(t *testing.T) run.State {
	t.Helper()
	k.waitFor(t, "Ctrl-C stops everything")
	data, err := os.ReadFile(filepath.Join(k.dir, ".kre", "run.json"))
	require.NoError(t, err)
	var state run.State
	require.NoError(t, json.Unmarshal(data, &state))
	return state
}

func (k *kre) waitFor(t *testing.T, text string) { k.waitForTimes(t, 1, text) }

func (k *kre) waitForTimes(t *testing.T, times int, text string) {
	t.Helper()
	eventually(t, func() bool { return strings.Count(k.stdout.String()+k.stderr.String(), text) >= times }, "kre does not print %q", text)
}

// number is what the node's script told of its number, the time-th time.
func (k *kre) number(t *testing.T, node string, time int) int {
	t.Helper()
	var found []string
	eventually(t, func() bool {
		found = nil
		for line := range strings.Lines(k.stdout.String()) {
			if words := strings.Fields(line); len(words) == 4 && words[0] == node && words[1] == "here" {
				found = append(found, words[3])
			}
		}
		return len(found) >= time
	}, "node %s does not tell its number", node)
	n, err := strconv.Atoi(found[time-1])
	require.NoError(t, err)
	return n
}

func (k *kre) interrupt(t *testing.T) {
	t.Helper()
	require.NoError(t, k.cmd.Process.Signal(os.Interrupt))
}

// end waits for the end, and for nothing being left but what the project and the cache keep.
func (k *kre) end(t *testing.T) (code int) {
	t.Helper()
	select {
	case <-k.ended:
	case <-time.After(patience):
		require.FailNow(t, "kre does not end")
	}
	require.Empty(t, session(t, k.cmd.Process.Pid), "processes are left")
	require.NoFileExists(t, filepath.Join(k.dir, ".kre", "run.json"))
	runs, err := os.ReadDir(filepath.Join(k.cache, "runs"))
	if err == nil {
		require.Empty(t, runs, "folders are left")
	}
	return k.cmd.ProcessState.ExitCode()
}

// session are the processes of a session that still run.
func session(t *testing.T, id int) []string {
	t.Helper()
	var left []string
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	require.NotEmpty(t, stats, "this test needs Linux")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it ended just now
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // state, parent, group, session
		if len(fields) > 3 && fields[3] == strconv.Itoa(id) && fields[0] != "Z" && fields[0] != "X" {
			left = append(left, string(stat))
		}
	}
	return left
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// transcript is what a program printed so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*transcript)(nil)

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
