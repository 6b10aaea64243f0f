package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/console"
)

// patience is how long a test waits for what should happen soon: the machine may be busy.
const patience = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// shared is the engine of all tests: a `kre up` that the first one who needs it starts.
var shared running

// running is a `kre up` with the programs that the build has put into KRE_BIN.
type running struct {
	once   sync.Once
	err    error
	dir    string
	cmd    *exec.Cmd
	output lockedBuffer
	ended  chan struct{}
}

func (r *running) start() error {
	var err error
	if r.dir, err = os.MkdirTemp("", "kre-cmd-test-"); err != nil {
		return err
	}
	built := os.Getenv("KRE_BIN")
	if built == "" {
		built = "../../../bin"
	}
	program, err := filepath.Abs(filepath.Join(built, "kre"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w: make build puts the programs there", err)
	}
	data := filepath.Join(r.dir, "data")
	r.cmd = exec.Command(program, "up", "--data", data, "--http-port=0", "--grpc-port=0", "--runtime-grpc-port=0", "--runtime-http-port=0")
	r.cmd.Env = append(os.Environ(), "KRE_CONFIG_DIR="+r.config())
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.cmd.WaitDelay = 10 * time.Second
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // what it printed tells
	}()
	return r.ready(filepath.Join(data, "up.json"))
}

// ready waits until the engine takes calls.
func (r *running) ready(file string) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-r.ended:
			return fmt.Errorf("kre up has ended:\n%s", r.output.String())
		case <-late:
			return fmt.Errorf("kre up is not ready:\n%s", r.output.String())
		case <-ticker.C:
		}
	}
}

func (r *running) config() string { return filepath.Join(r.dir, "config") }

// stop ends the engine in order, as far as it does.
func (r *running) stop() {
	if r.ended != nil {
		_ = r.cmd.Process.Signal(os.Interrupt)
		select {
		case <-r.ended:
		case <-time.After(patience):
			_ = r.cmd.Process.Kill()
			<-r.ended
		}
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// person is somebody who types commands, with a configuration of their own.
type person struct {
	t   *testing.T
	dir string
}

// newPerson knows the engine as the context local, as kre up has written it.
func newPerson(t *testing.T) person {
	t.Helper()
	shared.once.Do(func() { shared.err = shared.start() })
	require.NoError(t, shared.err)
	dir := t.TempDir()
	content, err := os.ReadFile(filepath.Join(shared.config(), "config.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), content, 0o600))
	t.Setenv("KRE_CONFIG_DIR", dir)
	t.Setenv("KRE_CONTEXT", "")
	t.Setenv("KRE_RUNTIME", "")
	t.Setenv("KRE_TOKEN", "")
	return person{t, dir}
}

// said is what a command has answered.
type said struct {
	code     int
	out, err string
}

// types runs a command with this on standard input.
func (p person) types(stdin string, args ...string) said {
	p.t.Helper()
	return typed(p.t.Context(), stdin, args...)
}

func typed(ctx context.Context, stdin string, args ...string) said {
	var out, errs bytes.Buffer
	code := start(ctx, args, &console.Console{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return said{code, out.String(), errs.String()}
}

// does runs a command that succeeds, and returns what it printed.
func (p person) does(args ...string) string {
	p.t.Helper()
	s := p.types("", args...)
	require.Equal(p.t, exitOK, s.code, "kre %s\n%s%s", strings.Join(args, " "), s.out, s.err)
	return s.out
}

// refused runs a command that fails, and returns the complaint.
func (p person) refused(args ...string) string {
	p.t.Helper()
	s := p.types("", args...)
	require.Equal(p.t, exitFailed, s.code, "kre %s\n%s%s", strings.Join(args, " "), s.out, s.err)
	require.Empty(p.t, s.out)
	return s.err
}

// decode reads what a command printed with -o json.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	return value
}

// project is the greeting of the tests of the whole, under another name and with these replacements in its manifest.
func project(t *testing.T, name string, replacements ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../../e2e/testdata/greeting")))
	file := filepath.Join(dir, "krt.yml")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	text := strings.NewReplacer(append([]string{"version: greeting-v1", "version: " + name}, replacements...)...).Replace(string(content))
	require.Contains(t, text, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return dir
}

// lockedBuffer is what a program prints while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
