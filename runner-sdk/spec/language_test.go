package spec_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
)

// language is how a node written in it is started.
type language struct {
	name string
	// command returns the command of the node in one of its forms, "untyped" or "typed", what its environment needs, and
	// its src.
	command func(t *testing.T, form string) (argv, env []string, src string)
}

func languages() []language {
	return []language{{"go", goNode}, {"python", pythonNode}}
}

// eachLanguage runs a test once per language.
func eachLanguage(t *testing.T, test func(t *testing.T, l language)) {
	t.Helper()
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) { test(t, l) })
	}
}

// goBinary is the Go node, built once.
var goBinary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "kre-conformance-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "node")
	if output, err := exec.Command("go", "build", "-o", binary, "./nodes/go").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the Go node: %w: %s", err, output)
	}
	return binary, nil
})

func goNode(t *testing.T, form string) (argv, env []string, src string) {
	t.Helper()
	binary, err := goBinary()
	require.NoError(t, err)
	return []string{binary}, []string{"CONFORMANCE_FORM=" + form}, "bin/node"
}

// pythonNode needs an interpreter that has the SDK's requirements, which `make test` provides.
func pythonNode(t *testing.T, form string) (argv, env []string, src string) {
	t.Helper()
	python := os.Getenv("KRE_TEST_PYTHON")
	if python == "" {
		t.Fatal("KRE_TEST_PYTHON is not set: it names a Python interpreter that has nats-py and protobuf; `make test` sets it")
	}
	source, err := filepath.Abs("../python/src")
	require.NoError(t, err)
	return []string{python, "-m", "kre"}, []string{"PYTHONPATH=" + source}, form + ".py"
}

// process is a node that runs.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready string
	log   string // path
	ended chan struct{}
}

// run starts a node. It is killed at the end of the test, if it still runs.
func (l language) run(v *version, node plan.Node, form string) *process {
	v.t.Helper()
	root, err := filepath.Abs("nodes/python")
	require.NoError(v.t, err)
	argv, env, src := l.command(v.t, form)
	node.Src = src
	data, err := json.Marshal(node)
	require.NoError(v.t, err)
	return startProcess(v, argv, data, root, env...)
}

// startProcess starts a process of the version. It is killed at the end of the test, if it still runs.
func startProcess(v *version, argv []string, configuration []byte, root string, env ...string) *process {
	v.t.Helper()
	folder := v.t.TempDir()
	config := filepath.Join(folder, "config.json")
	require.NoError(v.t, os.WriteFile(config, configuration, 0o600))
	log, err := os.Create(filepath.Join(folder, "log"))
	require.NoError(v.t, err)
	defer func() { require.NoError(v.t, log.Close()) }()

	p := &process{t: v.t, cmd: exec.Command(argv[0], argv[1:]...), ready: filepath.Join(folder, "ready"), log: log.Name(), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), env...), "KRE_CONFIG="+config, "KRE_NATS_URL="+v.url(), "KRE_NATS_CREDS="+v.nodeCredentials,
		"KRE_PACKAGE="+root, "KRE_READY_FILE="+p.ready)
	p.cmd.Dir = root
	p.cmd.Stdout, p.cmd.Stderr = log, log
	require.NoError(v.t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	v.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if v.t.Failed() {
			v.t.Logf("log of the process:\n%s", p.output())
		}
	})
	return p
}

func (p *process) output() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// waitReady waits until the node says that it is ready.
func (p *process) waitReady() *process {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		_, err := os.Stat(p.ready)
		return err == nil
	}, patience, look, "waiting until the node is ready")
	return p
}

// code waits for the end of the process and returns its exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the node does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process as a machine's failure would.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.ended
}
