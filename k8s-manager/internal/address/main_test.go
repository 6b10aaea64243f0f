package address_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/address"
	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/ports"
)

// patience is how long a condition may take to come true: far more than it does, so that a busy machine fails no test.
const patience = time.Minute

// asProgram makes this binary the program itself instead of its tests.
const asProgram = "ADDRESS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		boot.Main("address", "Holds a runtime's stable address.", address.Run)
		return
	}
	os.Exit(m.Run())
}

// program is a process whose output is kept.
type program struct {
	t     testing.TB
	cmd   *exec.Cmd
	ready string
	ended chan struct{}

	mu  sync.Mutex
	out strings.Builder
}

// start starts a program and waits until it is ready. It is killed at the end of the test, if it still runs.
func start(t testing.TB, path string, env ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(path), ready: filepath.Join(t.TempDir(), "ready"), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "KRE_READY_FILE="+p.ready), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the code tells
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test failed
		<-p.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(path), p.output())
		}
	})
	eventually(t, "the program is ready", func() bool {
		select {
		case <-p.ended:
			return true
		default:
		}
		_, err := os.Stat(p.ready)
		return err == nil
	})
	require.FileExists(t, p.ready, p.output())
	return p
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// ports are where it says that it listens.
func (p *program) ports() address.Target {
	p.t.Helper()
	for line := range strings.Lines(p.output()) {
		var said struct{ Message, GRPC, HTTP string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Message == "listening" {
			return address.Target{GRPC: said.GRPC, HTTP: said.HTTP}
		}
	}
	require.FailNow(p.t, "it does not say where it listens", p.output())
	return address.Target{}
}

// end tells it to end, and returns its exit code.
func (p *program) end() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "it does not end", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// held is a running address.
type held struct {
	*program
	address.Target
	file, ack string
}

// hold starts an address that leads to target; nil: there is no file.
func hold(t testing.TB, target *address.Target) *held {
	t.Helper()
	folder := t.TempDir()
	h := &held{file: filepath.Join(folder, "address.json"), ack: filepath.Join(folder, "address.ack.json")}
	if target != nil {
		h.write(t, *target)
	}
	h.program = start(t, os.Args[0], asProgram+"=1", "KRE_ADDRESS_FILE="+h.file, "KRE_ADDRESS_ACK_FILE="+h.ack,
		"KRE_GRPC_ADDR=127.0.0.1:0", "KRE_HTTP_ADDR=127.0.0.1:0")
	h.Target = h.ports()
	return h
}

func (h *held) write(t testing.TB, target address.Target) {
	t.Helper()
	data, err := json.Marshal(target)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(h.file+".new", data, 0o600))
	require.NoError(t, os.Rename(h.file+".new", h.file))
}

func (h *held) acknowledged() (target address.Target) {
	h.t.Helper()
	data, err := os.ReadFile(h.ack)
	require.NoError(h.t, err)
	require.NoError(h.t, json.Unmarshal(data, &target), "%s", data)
	return target
}

// lead changes the file, and waits until the address has acknowledged that.
func (h *held) lead(target address.Target) {
	h.t.Helper()
	h.write(h.t, target)
	eventually(h.t, "it is acknowledged", func() bool { return h.acknowledged() == target })
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		require.True(t, time.Now().Before(deadline), "waited in vain until %s", what)
		time.Sleep(2 * time.Millisecond)
	}
}

// anywhere is an address at which nobody listens.
func anywhere(t testing.TB) string {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return ports.Address(ports.Loopback, port)
}

// listen opens a port that serve answers, each connection in a goroutine of its own.
func listen(t testing.TB, on string, serve func(conn net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", on)
	require.NoError(t, err)
	over := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served := make(chan struct{})
			all.Go(func() { defer close(served); serve(conn) })
			all.Go(func() {
				select {
				case <-served:
				case <-over: // whoever is connected at the end of the test
					_ = conn.Close()
				}
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); close(over); all.Wait() })
	return listener
}
