package generate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/generate"
)

// interpreter returns a Python that has protobuf, mypy and types-protobuf, which `make test` provides.
func interpreter(t *testing.T) string {
	t.Helper()
	python := os.Getenv("KRE_TEST_PYTHON")
	require.NotEmpty(t, python, "KRE_TEST_PYTHON has to name a Python with protobuf and mypy; `make test` sets it")
	return python
}

func generated(t *testing.T) string {
	t.Helper()
	root := every(t)
	_, err := generate.Project(t.Context(), root, generate.Options{Language: generate.Python})
	require.NoError(t, err)
	return root
}

func TestGeneratedModulesWorkWithTheProtobufPackage(t *testing.T) {
	root := generated(t)
	command := exec.Command(interpreter(t), "use.py")
	command.Dir = root
	command.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, generate.PythonDir))
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Equal(t, "used 3\n", string(output))
}

func mypy(t *testing.T, root string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(interpreter(t), append([]string{"-m", "mypy", "--strict", "--no-error-summary",
		"--namespace-packages", "--explicit-package-bases", "--cache-dir", t.TempDir()}, args...)...)
	command.Dir = root
	command.Env = append(os.Environ(), "MYPYPATH="+generate.PythonDir)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestGeneratedStubsSatisfyStrictTypeChecking(t *testing.T) {
	output, err := mypy(t, generated(t), "use.py", generate.PythonDir)
	require.NoError(t, err, "%s", output)
}

func TestGeneratedStubsFindMistakes(t *testing.T) {
	output, err := mypy(t, generated(t), "misuse.py")
	require.Error(t, err)
	for _, complaint := range []string{
		`misuse.py:3: error: Unexpected keyword argument "txt" for "Response"`,
		`misuse.py:5: error: Incompatible types in assignment (expression has type "int", variable has type "str")`,
		`misuse.py:6: error: Property "inner" defined in "Request" is read-only`,
		`misuse.py:7: error: Argument 1 to "HasField" of "Request" has incompatible type`,
		`misuse.py:8: error: "Request" has no attribute "nope"`,
		`misuse.py:9: error: Incompatible types in assignment (expression has type "str", variable has type "Color")`,
	} {
		require.Contains(t, output, complaint)
	}
}
