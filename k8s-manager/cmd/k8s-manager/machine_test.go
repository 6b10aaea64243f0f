package main_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/krt/archive"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

const (
	patience = 90 * time.Second
	token    = "service-secret"
)

// machine is one on which k8s-manager runs.
type machine struct {
	t        *testing.T
	dir      string
	packages string
	addr     string
	env      []string
	broker   *broker.Broker
	operator *broker.Operator
	client   managerv1.LifecycleServiceClient

	mu      sync.Mutex
	manager *exec.Cmd
	ended   chan struct{}
	log     *os.File
}

// newMachine starts a broker and k8s-manager with some more environment. At the end of the test everything ends.
func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), packages: t.TempDir(), addr: freeAddr(t)}
	var err error
	m.operator, err = broker.InitOperator(filepath.Join(t.TempDir(), "operator"))
	require.NoError(t, err)
	m.broker, err = broker.StartOperator(t.Context(), m.operator, broker.OperatorOptions{})
	require.NoError(t, err)
	t.Cleanup(m.broker.Stop)
	m.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	first := 20_000 + rand.IntN(10_000)
	m.env = append(os.Environ(), "KRE_SERVICE_TOKEN="+token, "KRE_DATA_DIR="+m.dir, "KRE_GRPC_ADDR="+m.addr,
		"KRE_NATS_URL="+m.broker.URL(), "KRE_NATS_OPERATOR_SEED_FILE="+m.operator.SeedFile(),
		"KRE_NATS_SYSTEM_CREDS="+m.operator.SystemCreds(), "KRE_S3_ENDPOINT="+m.packages, "KRE_READY_FILE="+m.dir+"/ready",
		"KRE_FIRST_GRPC_PORT="+strconv.Itoa(first), "KRE_FIRST_HTTP_PORT="+strconv.Itoa(first+1000), "KRE_STOP_PROCESSES=true")
	m.env = append(m.env, env...)
	conn, err := rpc.Dial(m.addr, rpc.ClientOptions{Token: token})
	require.NoError(t, err)
	m.client = managerv1.NewLifecycleServiceClient(conn)
	m.start()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.Equal(t, 0, m.end(syscall.SIGTERM))
		if t.Failed() {
			content, _ := os.ReadFile(m.log.Name())
			t.Logf("k8s-manager:\n%s", content)
		}
	})
	return m
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return ports.Address(ports.Loopback, port)
}

// start starts k8s-manager, and returns when it is ready.
func (m *machine) start() {
	m.t.Helper()
	m.mu.Lock()
	m.manager = exec.Command(filepath.Join(programs, "k8s-manager"))
	m.manager.Env, m.manager.Stdout, m.manager.Stderr = m.env, m.log, m.log
	require.NoError(m.t, m.manager.Start())
	m.ended = make(chan struct{})
	manager, ended := m.manager, m.ended
	m.mu.Unlock()
	go func() {
		defer close(ended)
		_ = manager.Wait() // how it ended is asked for later
	}()
	require.Eventually(m.t, func() bool {
		_, err := os.Stat(filepath.Join(m.dir, "ready"))
		return err == nil
	}, patience, 5*time.Millisecond)
}

// end ends k8s-manager by a signal, and returns its exit code.
func (m *machine) end(signal syscall.Signal) int {
	m.t.Helper()
	m.mu.Lock()
	manager, ended := m.manager, m.ended
	m.mu.Unlock()
	require.NoError(m.t, manager.Process.Signal(signal))
	select {
	case <-ended:
	case <-time.After(patience):
		require.FailNow(m.t, "k8s-manager does not end")
	}
	if signal == syscall.SIGKILL { // it cannot do so itself
		require.NoError(m.t, os.RemoveAll(filepath.Join(m.dir, "ready")))
	}
	return manager.ProcessState.ExitCode()
}

// call makes a call again until k8s-manager is there to answer it.
func call[Request, Answer any](m *machine, do func(context.Context, Request, ...grpc.CallOption) (Answer, error), request Request) Answer {
	m.t.Helper()
	for end := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		answer, err := do(ctx, request, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			return answer
		}
		code := status.Code(err)
		away := code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
		if !away || time.Now().After(end) {
			require.NoError(m.t, err)
		}
	}
}

func (m *machine) status() *managerv1.RuntimeStatus {
	m.t.Helper()
	return call(m, m.client.GetRuntime, &managerv1.GetRuntimeRequest{Runtime: "prices"}).GetStatus()
}

func (m *machine) wait(what string, is func(*managerv1.RuntimeStatus) bool) *managerv1.RuntimeStatus {
	m.t.Helper()
	for end := time.Now().Add(patience); ; {
		s := m.status()
		if is(s) {
			return s
		}
		if time.Now().After(end) {
			require.FailNow(m.t, "never observed: "+what, "%v", s)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func find(s *managerv1.RuntimeStatus, version string) *managerv1.VersionStatus {
	for _, v := range s.GetVersions() {
		if v.GetVersion() == version {
			return v
		}
	}
	return nil
}

func (m *machine) waitPhase(version string, phase managerv1.VersionStatus_Phase) {
	m.t.Helper()
	m.wait(fmt.Sprintf("%s is %s", version, phase), func(s *managerv1.RuntimeStatus) bool {
		return find(s, version).GetPhase() == phase
	})
}

const node = `#!/bin/sh
trap 'exit 0' TERM
touch "$KRE_READY_FILE"
while :; do sleep 0.05; done
`

// upload stores the package of a version, and returns its digest.
func (m *machine) upload(version string) string {
	m.t.Helper()
	root := filepath.Join(m.packages, version)
	require.NoError(m.t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	require.NoError(m.t, os.WriteFile(filepath.Join(root, "bin", "node"), []byte(node), 0o755)) //nolint:gosec // a program
	text := strings.Replace(`version: VERSION
workflows:
  - name: work
    entrypoint: Work
    exitpoint: one
    nodes:
      - {name: one, image: i, src: bin/node, subscriptions: [entrypoint]}
`, "VERSION", version, 1)
	require.NoError(m.t, os.WriteFile(filepath.Join(root, "krt.yml"), []byte(text), 0o600))
	p, err := archive.Dir(m.t.Context(), root)
	require.NoError(m.t, err)
	return p.Digest
}

var errNoVersion = errors.New("no version answers")
