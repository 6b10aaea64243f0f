package e2e_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/konstellation-io/kre/e2e/harness"
)

// A node of any language that speaks the worker protocol is run like any other, as a project and as a package.
func TestANodeThatSpeaksTheWorkerProtocolAnswers(t *testing.T) {
	p := harness.Copy(t, filepath.Join("testdata", "worker"))
	build := exec.Command("go", "build", "-o", filepath.Join(p.Dir, "bin", "echo"), "./testdata/worker/echo")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	run := harness.Ready(t, harness.Options{Target: p.Dir, Args: []string{"--no-watch"}})
	answer, code, message := overGRPC(run.GRPC(t))(patience(t), "worker.Worker/Echo", `{"text":"hello"}`)
	require.Equal(t, codes.OK, code, message)
	require.JSONEq(t, `{"text":"echo said hello"}`, answer)
	run.Stop(t)

	packed := filepath.Join(t.TempDir(), "worker.krt")
	harness.MustKre(t, p.Dir, "pack", "-o", packed)
	unpacked := harness.Ready(t, harness.Options{Target: packed})
	answer, code, message = overGRPC(unpacked.GRPC(t))(patience(t), "worker.Worker/Echo", `{"text":"packed"}`)
	require.Equal(t, codes.OK, code, message)
	require.JSONEq(t, `{"text":"echo said packed"}`, answer)
}
