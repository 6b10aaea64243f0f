package up

import (
	"bytes"
	"encoding/json"
	"net"
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

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
)

// patience is how long a test waits for what should happen soon: the machine may be busy.
const patience = time.Minute

// machine is where a person runs kre: everything there is below one folder, by which what runs is found.
type machine struct{ dir string }

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{dir: t.TempDir()}
	t.Cleanup(func() {
		for _, pid := range m.processes(t, "") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return m
}

func (m machine) data(names ...string) string {
	return filepath.Join(append([]string{m.dir, "data"}, names...)...)
}

// processes are those that run here and whose ready file, if they have one, is that of a service.
func (m machine) processes(t *testing.T, service string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	require.NotEmpty(t, files, "this test needs Linux")
	mark := m.dir
	if service != "" {
		mark = "KRE_READY_FILE=" + m.data(service+".ready") + "\x00"
	}
	var found []int
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(environ, []byte(mark)) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		require.NoError(t, err)
		found = append(found, pid)
	}
	return found
}

// kre is a running `kre up`.
type kre struct {
	machine
	cmd    *exec.Cmd
	output *transcript
	ended  chan struct{}
}

func (m machine) up(t *testing.T) *kre {
	t.Helper()
	k := &kre{machine: m, output: &transcript{}, ended: make(chan struct{})}
	k.cmd = exec.Command(filepath.Join(programs, "kre"), "up", "--data", m.data(),
		"--http-port=0", "--grpc-port=0", "--runtime-grpc-port=0", "--runtime-http-port=0")
	k.cmd.Env = append(os.Environ(), "KRE_CONFIG_DIR="+filepath.Join(m.dir, "config"), "KRE_LIBEXEC="+programs, "SECRET_OF_THE_SHELL=x")
	k.cmd.Stdout, k.cmd.Stderr = k.output, k.output
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
			t.Logf("kre printed\n%s", k.output)
		}
	})
	return k
}

// ready waits until the engine takes calls, and returns where.
func (k *kre) ready(t *testing.T) State {
	t.Helper()
	var state State
	eventually(t, func() bool {
		select {
		case <-k.ended:
			require.FailNow(t, "kre has ended")
		default:
		}
		content, err := os.ReadFile(k.data("up.json"))
		return err == nil && json.Unmarshal(content, &state) == nil && state.PID == k.cmd.Process.Pid
	}, "kre up is not ready")
	k.waitFor(t, "Ctrl-C stops everything")
	return state
}

func (k *kre) waitFor(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(k.output.String(), text) }, "kre does not print %q", text)
}

// service is the process of a service.
func (k *kre) service(t *testing.T, name string) int {
	t.Helper()
	var found []int
	eventually(t, func() bool {
		found = k.processes(t, name)
		return len(found) == 1
	}, "%s is not one process", name)
	return found[0]
}

func (k *kre) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, k.cmd.Process.Signal(signal))
}

// end waits for the end.
func (k *kre) end(t *testing.T) (code int) {
	t.Helper()
	select {
	case <-k.ended:
	case <-time.After(2 * patience):
		require.FailNow(t, "kre does not end")
	}
	return k.cmd.ProcessState.ExitCode()
}

func eventually(t *testing.T, condition func() bool, format string, args ...any) {
	t.Helper()
	require.Eventuallyf(t, condition, patience, 5*time.Millisecond, format, args...)
}

// transcript is what a program printed so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

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

func TestTheEngineGoesOnWithWhatItKept(t *testing.T) {
	m := newMachine(t)
	first := m.up(t)
	state := first.ready(t)
	for _, address := range []string{state.GRPC, strings.TrimPrefix(state.HTTP, "http://")} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	token, err := os.ReadFile(m.data("secrets", "admin.token"))
	require.NoError(t, err)
	config, err := cliconfig.LoadFile(filepath.Join(m.dir, "config", "config.json"))
	require.NoError(t, err)
	require.Equal(t, cliconfig.Config{Current: "local", Contexts: map[string]cliconfig.Context{
		"local": {
			GRPC: state.GRPC, Socket: "unix:" + m.data("run", "admin-api.sock"), HTTP: state.HTTP, Token: strings.TrimSpace(string(token)),
		},
	}}, config)
	logged, err := os.ReadFile(m.data("logs", "k8s-manager.log"))
	require.NoError(t, err)
	require.Contains(t, string(logged), `"message":"ready"`)
	kept := m.secretsAndPorts(t)

	first.signal(t, syscall.SIGINT)
	require.Equal(t, 0, first.end(t))
	require.Empty(t, m.processes(t, ""), "processes are left")
	require.NoFileExists(t, m.data("up.json"))

	second := m.up(t)
	require.Equal(t, state.GRPC, second.ready(t).GRPC)
	require.Equal(t, kept, m.secretsAndPorts(t))
	second.signal(t, syscall.SIGTERM)
	require.Equal(t, 0, second.end(t))
	require.Empty(t, m.processes(t, ""), "processes are left")
}

// secretsAndPorts are the contents of what is made once, all of which is for its owner's eyes only.
func (m machine) secretsAndPorts(t *testing.T) map[string]string {
	t.Helper()
	kept := make(map[string]string)
	for _, name := range []string{
		"ports.json", "secrets/admin.token", "secrets/service.token", "secrets/s3.access", "secrets/s3.secret", "secrets/keyset.json",
		"secrets/nats/operator.seed", "secrets/nats/system.creds", "secrets/nats/nats.conf",
	} {
		content, err := os.ReadFile(m.data(name))
		require.NoError(t, err)
		require.NotEmpty(t, content, name)
		info, err := os.Stat(m.data(name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		kept[name] = string(content)
	}
	return kept
}

func TestAKilledServiceIsStartedAgainAndTold(t *testing.T) {
	m := newMachine(t)
	k := m.up(t)
	k.ready(t)
	for _, name := range []string{adminAPI, k8sManager} {
		pid := k.service(t, name)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, func() bool {
			told := strings.Fields(k.output.String())
			return strings.Contains(strings.Join(told, " "), name+" ready again")
		}, "%s is not ready again", name)
		require.Contains(t, strings.Join(strings.Fields(k.output.String()), " "), "starting it again in 100 ms")
		require.NotEqual(t, pid, k.service(t, name))
	}
	k.signal(t, syscall.SIGINT)
	require.Equal(t, 0, k.end(t))
	require.Empty(t, m.processes(t, ""), "processes are left")
}

func TestAKilledEngineLeavesNoServiceAndTheNextOneFindsItsPorts(t *testing.T) {
	m := newMachine(t)
	first := m.up(t)
	state := first.ready(t)
	first.signal(t, syscall.SIGKILL)
	first.end(t)

	second := m.up(t)
	again := second.ready(t)
	require.Equal(t, state.GRPC, again.GRPC)
	require.Equal(t, state.HTTP, again.HTTP)
	second.service(t, adminAPI)
	second.service(t, k8sManager)
	second.signal(t, syscall.SIGINT)
	require.Equal(t, 0, second.end(t))
	require.Empty(t, m.processes(t, ""), "processes are left")
}

func TestOneEngineAtATimeUsesAFolder(t *testing.T) {
	m := newMachine(t)
	first := m.up(t)
	first.ready(t)
	second := m.up(t)
	require.Equal(t, 1, second.end(t))
	require.Contains(t, second.output.String(), m.data()+" is in use by another kre up (process "+strconv.Itoa(first.cmd.Process.Pid)+")")
	require.FileExists(t, m.data("up.json"))
	first.signal(t, syscall.SIGINT)
	first.signal(t, syscall.SIGINT) // both may come before it looks
	require.Contains(t, []int{0, 130}, first.end(t))
	require.Empty(t, m.processes(t, ""), "processes are left")
}
