package harness

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/ports"
)

// Server is a store that runs by itself, and can be started again on what it has kept.
type Server struct {
	Port int
	Env  []string // added to ours
	Args []string // the program and its arguments

	t   testing.TB
	cmd *exec.Cmd
}

// NewServer is a server that does not run yet, with a port that nobody listens on now. It is killed when the test ends.
func NewServer(t testing.TB) *Server {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	s := &Server{Port: port, t: t}
	t.Cleanup(s.Kill)
	return s
}

// NATS is a NATS server in operator mode, as `kre store broker-config` sets one up in the folder, that does not run yet.
func NATS(t testing.TB, operator string) *Server {
	t.Helper()
	s := NewServer(t)
	MustKre(t, filepath.Dir(operator), "store", "broker-config", operator, "--port", strconv.Itoa(s.Port), "--http=0")
	s.Args = []string{Tool(t, "nats-server", "KRE_TEST_NATS_SERVER"), "-c", filepath.Join(operator, "nats.conf")}
	return s
}

// Addr is host and port.
func (s *Server) Addr() string { return ports.Address(ports.Loopback, s.Port) }

// Start starts it and waits until it listens.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.Args[0], s.Args[1:]...)
	s.cmd.Env = append(os.Environ(), s.Env...)
	var printed bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &printed, &printed
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, s.cmd.Start())
	Eventually(s.t, filepath.Base(s.Args[0])+" listens", func() (bool, string) {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
}

// Kill ends it without giving it a chance to do anything about it.
func (s *Server) Kill() { s.End(syscall.SIGKILL) }

// End ends it with a signal, and waits until it has ended. Ending it again does nothing.
func (s *Server) End(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal) // it may have ended
	_ = s.cmd.Wait()                 // by that signal
	s.cmd = nil
}
