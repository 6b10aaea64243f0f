package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// training is done once, however many tests need the model.
var training sync.Mutex

// trainedExample returns the folder of the price estimator, whose model is there.
func trainedExample(t *testing.T) string {
	t.Helper()
	training.Lock()
	defer training.Unlock()
	example := filepath.Join(harness.Repository(t), "examples", "price-estimator")
	stdout, stderr, code := harness.Command(t, example, "make", "train")
	require.Zero(t, code, stdout+stderr)
	return example
}

// demo starts what `make run` calls after building, with the programs in bin.
func demo(t *testing.T, bin string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	trainedExample(t)
	program := filepath.Join(t.TempDir(), "demo")
	stdout, stderr, code := harness.Command(t, ".", "go", "build", "-o", program, "./cmd/demo")
	require.Zero(t, code, stdout+stderr)
	var printed bytes.Buffer
	cmd := exec.Command(program)
	cmd.Dir = harness.Repository(t)
	cmd.Env = append(os.Environ(), append(env, "KRE_BIN="+bin)...)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, &printed
}

// The two of them use the same folder, so they are one test.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	t.Run("answers twice, says how to ask again, and ends", func(t *testing.T) {
		cmd, printed := demo(t, filepath.Dir(harness.Program(t, "kre")), "ONCE=1")
		require.NoError(t, cmd.Run(), printed)
		require.Regexp(t, `(?m)^start  etl ✓ model ✓ output ✓ `, printed)
		require.Regexp(t, `(?m)^call   \{"carat":1\} → \{"price":\d{4},"currency":"EUR"\} `, printed)
		require.Regexp(t, `(?m)^Again: curl --json '\{"carat":1\}' localhost:\d+/price.Price/Estimate\n +\S+/kre call Estimate '\{"carat":1\}' --addr localhost:\d+`, printed)
		requireGone(t, cmd)
	})
	t.Run("waits for Ctrl-C, which ends everything", func(t *testing.T) {
		cmd, printed := demo(t, filepath.Dir(harness.Program(t, "kre")))
		out, err := os.CreateTemp(t.TempDir(), "out")
		require.NoError(t, err)
		defer func() { require.NoError(t, out.Close()) }()
		cmd.Stdout = out
		require.NoError(t, cmd.Start())
		harness.Eventually(t, "the last line is printed", func() (bool, string) {
			seen, err := os.ReadFile(out.Name())
			require.NoError(t, err)
			return strings.HasSuffix(string(seen), "\nCtrl-C stops everything\n"), string(seen)
		})
		// A terminal tells the whole group.
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
		require.NoError(t, cmd.Wait(), printed)
		requireGone(t, cmd)
	})
	t.Run("fails where a call fails, and says where to look", func(t *testing.T) {
		bin := t.TempDir()
		kre := "#!/bin/sh\n" +
			"if [ \"$1\" = call ]; then echo nobody answers >&2; exit 1; fi\n" +
			"exec " + harness.Program(t, "kre") + " \"$@\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, "kre"), []byte(kre), 0o755))
		cmd, printed := demo(t, bin, "ONCE=1")
		require.Error(t, cmd.Run())
		require.Equal(t, 1, cmd.ProcessState.ExitCode())
		require.Contains(t, printed.String(), "nobody answers")
		require.Contains(t, printed.String(), "up.log; its last lines:")
		requireGone(t, cmd)
	})
}

func requireGone(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	left, err := harness.Session(cmd.Process.Pid)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Empty(t, harness.ProcessesOf(t, filepath.Join(harness.Repository(t), "build", "price-estimator", "data")))
}
