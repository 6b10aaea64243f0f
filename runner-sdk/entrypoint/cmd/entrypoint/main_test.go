package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/krt/plan"
)

const patience = time.Minute

// TestMain is the program itself when a test starts it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("KRE_TEST_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the entrypoint as a process.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready string
	mu    sync.Mutex
	out   strings.Builder
	ended chan struct{}
	code  int
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

func startProgram(t *testing.T, env ...string) *program {
	p := &program{t: t, ready: filepath.Join(t.TempDir(), "ready"), ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append([]string{"KRE_TEST_AS_PROGRAM=1", "KRE_READY_FILE=" + p.ready, "KRE_PACKAGE=" + t.TempDir(),
		"KRE_GRPC_ADDR=127.0.0.1:0", "KRE_HTTP_ADDR=127.0.0.1:0"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the code tells
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test failed
		<-p.ended
	})
	return p
}

func (p *program) exitCode() int {
	select {
	case <-p.ended:
		return p.code
	case <-time.After(patience):
		require.Fail(p.t, "the process did not end", p.output())
		return -1
	}
}

// httpURL is where it says that it listens.
func (p *program) httpURL() string {
	for line := range strings.Lines(p.output()) {
		var said struct{ Message, HTTP string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Message == "listening" {
			return "http://" + said.HTTP
		}
	}
	require.Fail(p.t, "it does not say where it listens", p.output())
	return ""
}

func writeConfig(t *testing.T) (path string, config plan.Entrypoint) {
	config = plan.Entrypoint{Version: "v1", ReplyTo: "kre.v1._reply", Workflows: []plan.EntrypointTarget{{
		Name: "w", ID: "w", RPC: "Ask", Stream: "entry", Subject: "kre.v1.w.entry", TimeoutMs: patience.Milliseconds(),
		Consumers: []plan.Source{{Stream: "entry", Consumer: "node"}},
	}}}
	text, err := json.Marshal(config)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "entrypoint.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path, config
}

func startNATS(t *testing.T) (url string, js jetstream.JetStream) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		StoreDir: t.TempDir(), NoSigs: true, NoLog: true, Authorization: "hush"})
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(patience))
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	url = "nats://hush@" + s.Addr().String()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err = jetstream.New(conn)
	require.NoError(t, err)
	return url, js
}

func TestTheProcessIsReadyWhenItsConsumersExistAndEndsWithZeroWhenTold(t *testing.T) {
	path, config := writeConfig(t)
	url, js := startNATS(t)
	p := startProgram(t, "KRE_CONFIG="+path, "KRE_NATS_URL="+url)
	require.Eventually(t, func() bool { return strings.Contains(p.output(), "waiting for the version's consumers") }, patience, 10*time.Millisecond)
	require.NoFileExists(t, p.ready)

	target := config.Workflows[0]
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: target.Stream, Subjects: []string{target.Subject}})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), target.Stream, jetstream.ConsumerConfig{Durable: "node"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat(p.ready); return err == nil }, patience, 10*time.Millisecond)
	answer, err := http.Get(p.httpURL() + "/readyz")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NotContains(t, p.output(), "hush", "the broker's token")

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, boot.ExitOK, p.exitCode(), p.output())
	require.NoFileExists(t, p.ready)
}

func TestASecondSignalEndsTheProcessWhileItDrains(t *testing.T) {
	path, config := writeConfig(t)
	url, js := startNATS(t)
	target := config.Workflows[0]
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: target.Stream, Subjects: []string{target.Subject}})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), target.Stream, jetstream.ConsumerConfig{Durable: "node"})
	require.NoError(t, err)
	p := startProgram(t, "KRE_CONFIG="+path, "KRE_NATS_URL="+url)
	require.Eventually(t, func() bool { _, err := os.Stat(p.ready); return err == nil }, patience, 10*time.Millisecond)

	asked := make(chan struct{})
	go func() {
		defer close(asked)
		answer, err := http.Post(p.httpURL()+"/kre.Entrypoint/Ask", "application/json", strings.NewReader("{}"))
		if err == nil { // it does not come to that
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}()
	stream, err := js.Stream(t.Context(), target.Stream)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 1
	}, patience, 10*time.Millisecond, "the request is stored")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(p.output(), `"stopping"`) }, patience, 10*time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, boot.ExitForced, p.exitCode(), p.output())
	<-asked
}

func TestAConfigurationThatCannotBeUsedEndsTheProcessWithTheReason(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":          {"{", "unexpected end of JSON input"},
		"without version":   {"{}", "has no version"},
		"without replyTo":   {`{"version": "v1"}`, "has no replyTo"},
		"without workflows": {`{"version": "v1", "replyTo": "r"}`, "has no workflows"},
		"without a timeout": {`{"version": "v1", "replyTo": "r", "workflows": [{"name": "w", "rpc": "Ask", "subject": "s"}]}`,
			`workflow \"w\" needs a subject and a timeoutMs above 0`},
		"proto not there": {`{"version": "v1", "replyTo": "r", "proto": "p.proto", "workflows": [{"rpc": "Ask", "subject": "s", "timeoutMs": 1}]}`,
			"p.proto: no such file in the package"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "entrypoint.json")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			p := startProgram(t, "KRE_CONFIG="+path, "KRE_NATS_URL=nats://127.0.0.1:1")
			require.Equal(t, boot.ExitFailed, p.exitCode())
			require.Contains(t, p.output(), c.want)
		})
	}
}

func TestABrokersURLThatCannotBeReadIsNotRepeated(t *testing.T) {
	path, _ := writeConfig(t)
	p := startProgram(t, "KRE_CONFIG="+path, "KRE_NATS_URL=nats://hush:%zz@127.0.0.1:4222")
	require.Equal(t, boot.ExitFailed, p.exitCode())
	require.Contains(t, p.output(), "connecting to the broker: its URL: ")
	require.NotContains(t, p.output(), "hush")
}

func TestAPortThatIsTakenEndsTheProcessWithTheReason(t *testing.T) {
	path, _ := writeConfig(t)
	url, _ := startNATS(t)
	taken := strings.TrimPrefix(url, "nats://hush@")
	p := startProgram(t, "KRE_CONFIG="+path, "KRE_NATS_URL="+url, "KRE_HTTP_ADDR="+taken)
	require.Equal(t, boot.ExitFailed, p.exitCode())
	require.Contains(t, p.output(), "opening the HTTP port")
}
