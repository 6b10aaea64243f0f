package harness

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Engine is a `kre up` with a data directory of its own.
type Engine struct {
	Data  string
	Token string
	Up    Up // known while it runs

	Runtimes adminv1.RuntimeServiceClient
	Versions adminv1.VersionServiceClient

	t      testing.TB
	args   []string // of kre up, beside where it keeps its data and listens
	cmd    *exec.Cmd
	output *output
	ended  chan struct{}
	conn   *grpc.ClientConn
}

// Up is what `kre up` tells other programs about itself.
type Up struct {
	HTTP string `json:"http"` // http://host:port of admin-api
	GRPC string `json:"grpc"` // host:port of admin-api
	PID  int    `json:"pid"`
}

// NewEngine starts `kre up`, with more arguments, on a new data directory and returns when it is ready. When the test ends
// it is stopped, and no process of it may be left.
func NewEngine(t testing.TB, args ...string) *Engine {
	t.Helper()
	return NewEngineIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// NewEngineIn is NewEngine with a data directory that is given.
func NewEngineIn(t testing.TB, data string, args ...string) *Engine {
	t.Helper()
	e := &Engine{Data: data, t: t, args: args}
	e.Start()
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			t.Logf("what kre up printed last:\n%s", tail(e.Output(), 60))
		}
	})
	return e
}

// Start starts `kre up` on the engine's data directory and returns when it is ready.
func (e *Engine) Start() {
	e.t.Helper()
	e.output, e.ended = new(output), make(chan struct{})
	args := []string{"up", "--data", e.Data, "--http-port=0", "--grpc-port=0", "--runtime-grpc-port=0", "--runtime-http-port=0"}
	cmd := exec.Command(Program(e.t, "kre"), append(args, e.args...)...)
	cmd.Env = e.Env()
	cmd.Stdout, cmd.Stderr = e.output, e.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second
	require.NoError(e.t, cmd.Start())
	e.cmd = cmd
	ended := e.ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	file := filepath.Join(e.Data, "up.json")
	Eventually(e.t, "kre up is ready", func() (bool, string) {
		select {
		case <-ended:
			require.FailNow(e.t, "kre up ended", "%s\n%s", cmd.ProcessState, e.Output())
		default:
		}
		content, err := os.ReadFile(file)
		var up Up
		if err != nil || json.Unmarshal(content, &up) != nil || up.PID != cmd.Process.Pid {
			return false, tail(e.Output(), 30)
		}
		e.Up = up
		return true, ""
	})
	token, err := os.ReadFile(filepath.Join(e.Data, "secrets", "admin.token"))
	require.NoError(e.t, err)
	e.Token = strings.TrimSpace(string(token))
	e.conn, err = grpc.NewClient(e.Up.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(e.Token)))
	require.NoError(e.t, err)
	e.Runtimes, e.Versions = adminv1.NewRuntimeServiceClient(e.conn), adminv1.NewVersionServiceClient(e.conn)
}

// bearer sends a token with every call, on loopback without TLS.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// Authorized adds the administrator's token to the metadata of a call on a connection of one's own.
func (e *Engine) Authorized(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+e.Token)
}

// Env is the environment of commands that talk to this engine: their contexts lie in its data directory.
func (e *Engine) Env(more ...string) []string {
	return append(append(os.Environ(), "KRE_CONFIG_DIR="+filepath.Join(e.Data, "cli")), more...)
}

// Output returns everything that `kre up` has printed since it was started last.
func (e *Engine) Output() string { return e.output.String() }

// Stop ends `kre up` with Ctrl-C and checks that no process of the engine is left. Stopping again does nothing.
func (e *Engine) Stop() {
	e.t.Helper()
	if e.cmd == nil {
		return
	}
	_ = e.conn.Close()
	require.NoError(e.t, ignoreEnded(e.cmd.Process.Signal(os.Interrupt)))
	select {
	case <-e.ended:
	case <-time.After(Patience):
		e.killAll()
		require.FailNow(e.t, "kre up does not end after Ctrl-C", "%s", tail(e.Output(), 50))
	}
	e.cmd = nil
	left := e.Processes("")
	e.killAll()
	require.Empty(e.t, left, "processes are left after kre up has ended\n%s", tail(e.Output(), 30))
}

// Kill ends `kre up` alone without giving it a chance to do anything about it.
func (e *Engine) Kill() {
	e.t.Helper()
	_ = e.conn.Close()
	require.NoError(e.t, ignoreEnded(e.cmd.Process.Kill()))
	<-e.ended
	e.cmd = nil
}

func (e *Engine) killAll() {
	for _, p := range e.Processes("") {
		_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have ended meanwhile
	}
}
