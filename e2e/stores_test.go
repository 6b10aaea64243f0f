package e2e_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/kit/ports"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// server is a store that runs by itself.
type server struct {
	t    *testing.T
	port int
	env  []string
	args []string
	cmd  *exec.Cmd
}

// start starts it and waits until it listens.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Env = append(os.Environ(), s.env...)
	var printed bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &printed, &printed
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, s.cmd.Start())
	harness.Eventually(s.t, filepath.Base(s.args[0])+" listens", func() (bool, string) {
		conn, err := net.Dial("tcp", s.addr())
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// kill ends it without giving it a chance to do anything about it.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
	s.cmd = nil
}

// freePort is a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return port
}

// An engine on stores of one's own; each store is killed once and started again.
func TestAnEngineOnOtherStoresOutlivesTheirDeath(t *testing.T) {
	t.Parallel()
	dir, kre := t.TempDir(), harness.Program(t, "kre")
	operator := filepath.Join(dir, "operator")
	nats := &server{t: t, port: freePort(t)}
	harness.MustKre(t, dir, "store", "broker-config", operator, "--port", strconv.Itoa(nats.port), "--http=0")
	nats.args = []string{harness.Tool(t, "nats-server", "KRE_TEST_NATS_SERVER"), "-c", filepath.Join(operator, "nats.conf")}
	documents := &server{t: t, port: freePort(t)}
	documents.args = []string{kre, "store", "documents", "--addr", documents.addr(), "--data", filepath.Join(dir, "documents")}
	objects := &server{t: t, port: freePort(t), env: []string{"KRE_S3_ACCESS_KEY=access", "KRE_S3_SECRET_KEY=not-secret"}}
	objects.args = []string{kre, "store", "objects", "--addr", objects.addr(), "--data", filepath.Join(dir, "objects")}
	stores := map[string]*server{"the broker": nats, "the store of documents": documents, "the store of objects": objects}
	for _, store := range stores {
		store.start()
		t.Cleanup(store.kill)
	}

	engine := harness.NewEngine(t, "--nats-url=nats://"+nats.addr(), "--nats-operator="+operator,
		"--mongo-uri=mongodb://"+documents.addr(), "--s3-url=http://access:not-secret@"+objects.addr())
	first := harness.Greeting(t, "greeting-v1")
	runtime := engine.Published(t, "elsewhere", first, "greeting-v1")
	answers := func(t *testing.T) {
		t.Helper()
		harness.Eventually(t, "the published version answers", func() (bool, string) {
			answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada"}`)
			if err != nil {
				return false, err.Error()
			}
			return answer.Status == http.StatusOK, answer.Body
		})
	}
	answers(t)
	for name, store := range stores {
		t.Run(name+" is killed", func(t *testing.T) {
			store.kill()
			store.start()
			answers(t)
			version := "after-" + map[*server]string{nats: "broker", documents: "documents", objects: "objects"}[store]
			file := harness.Greeting(t, version)
			harness.Eventually(t, "a version can be uploaded", func() (bool, string) {
				_, err := engine.Upload(t.Context(), "elsewhere", file)
				return err == nil || status.Code(err) == codes.AlreadyExists, status.Convert(err).Message()
			})
			name := harness.Name("elsewhere", version)
			harness.Eventually(t, "and started", func() (bool, string) {
				_, err := engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
				return err == nil, status.Convert(err).Message()
			})
			engine.WaitState(t, "elsewhere", version, adminv1.Version_STARTED)
			_, err := engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: name})
			require.NoError(t, err)
			engine.WaitState(t, "elsewhere", version, adminv1.Version_STOPPED)
		})
	}
	require.NoDirExists(t, filepath.Join(engine.Data, "documents"))
}
