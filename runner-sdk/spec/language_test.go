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
	name   string
	worker bool // it is run by a runner, which outlives it
	// command returns the command of the node in one of its forms, "untyped" or "typed", what its environment needs, and
	// its src.
	command func(t *testing.T, form string) (argv, env []string, src string)
}

func languages() []language {
	return []language{{"go", false, goNode}, {"python", true, pythonNode}, {"javascript", true, javascriptNode}}
}

// eachLanguage runs a test once per language.
func eachLanguage(t *testing.T, test func(t *testing.T, l language)) {
	t.Helper()
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) { test(t, l) })
	}
}

// eachWorker runs a test once per language whose nodes are run by a runner.
func eachWorker(t *testing.T, test func(t *testing.T, l language)) {
	t.Helper()
	for _, l := range languages() {
		if l.worker {
			t.Run(l.name, func(t *testing.T) { test(t, l) })
		}
	}
}

// binaries are the Go node and the runner, built once.
var binaries = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "kre-conformance-"); err != nil {
		return "", err
	}
	for program, source := range map[string]string{"node": "./nodes/go", "runner": "../runner/cmd/runner"} {
		build := exec.Command("go", "build", "-o", filepath.Join(folder, program), source)
		if output, err := build.CombinedOutput(); err != nil {
			return folder, fmt.Errorf("building %s: %w: %s", source, err, output)
		}
	}
	return folder, nil
})

func binary(t *testing.T, name string) string {
	t.Helper()
	folder, err := binaries()
	require.NoError(t, err)
	return filepath.Join(folder, name)
}

func goNode(t *testing.T, form string) (argv, env []string, src string) {
	t.Helper()
	return []string{binary(t, "node")}, []string{"CONFORMANCE_FORM=" + form}, "bin/node"
}

// pythonNode needs an interpreter that has the SDK's requirements, which `make test` provides.
func pythonNode(t *testing.T, form string) (argv, env []string, src string) {
	t.Helper()
	python := os.Getenv("KRE_TEST_PYTHON")
	if python == "" {
		t.Fatal("KRE_TEST_PYTHON is not set: it names a Python interpreter that has protobuf; `make test` sets it")
	}
	source, err := filepath.Abs("../python/src")
	require.NoError(t, err)
	return []string{binary(t, "runner"), "--", python, "-m", "kre"}, []string{"PYTHONPATH=" + source}, form + ".py"
}

// javascriptNode needs Node.js, and protobufjs in node_modules, which `make test` provides.
func javascriptNode(t *testing.T, form string) (argv, env []string, src string) {
	t.Helper()
	program, err := filepath.Abs("nodes/javascript/node.js")
	require.NoError(t, err)
	return []string{binary(t, "runner"), "--", "node", program}, []string{"CONFORMANCE_FORM=" + form}, "bin/node"
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
	env = append(env, v.env...)
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
	p.cmd.Env = append(append(os.Environ(), "KRE_CONFIG="+config, "KRE_NATS_URL="+v.url(), "KRE_NATS_CREDS="+v.nodeCredentials,
		"KRE_PACKAGE="+root, "KRE_READY_FILE="+p.ready), env...)
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
