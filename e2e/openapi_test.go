package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// The document is checked by a public validator, and a public generator's client lists versions.
func TestTheOpenAPIDocumentIsGoodForOthers(t *testing.T) {
	t.Parallel()
	python := harness.Tool(t, "python with e2e/testdata/openapi/requirements.lock", "KRE_TEST_OPENAPI")
	engine := harness.NewEngine(t)
	engine.Runtime(t, "described")
	engine.MustUpload(t, "described", harness.Greeting(t, "greeting-v1"))
	answer := engine.REST(t, http.MethodGet, "/openapi.json", nil)
	require.Equal(t, http.StatusOK, answer.Code)
	dir := t.TempDir()
	document := filepath.Join(dir, "openapi.json")
	require.NoError(t, os.WriteFile(document, []byte(answer.Body), 0o644))

	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "client"), "KRE_URL="+engine.Up.HTTP,
			"KRE_TOKEN="+engine.Token, "KRE_RUNTIME=described")
		printed, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", printed)
		return string(printed)
	}
	run(filepath.Join(filepath.Dir(python), "openapi-spec-validator"), document)
	run(filepath.Join(filepath.Dir(python), "openapi-python-client"), "generate", "--path", document, "--output-path", filepath.Join(dir, "client"))
	script := filepath.Join(harness.Repository(t), "e2e", "testdata", "openapi", "list_versions.py")
	require.Contains(t, run(python, script), "runtimes/described/versions/greeting-v1 STOPPED")
}
