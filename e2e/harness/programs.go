// Package harness starts versions with the built `kre` and looks at them from outside, as their users do. It knows the
// programs, their files and their ports; nothing of what is inside them.
package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Program returns the path of a built program: in the folder $KRE_BIN, or in bin/ of this repository.
func Program(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("KRE_BIN")
	if dir == "" {
		dir = filepath.Join(Repository(t), "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	require.NoError(t, err)
	require.FileExists(t, path, "%s is not built: run `make build`", name)
	return path
}

// Tool returns the path of a program that is not ours: the value of the environment variable where it is set, else
// what PATH has.
func Tool(t testing.TB, name, variable string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		require.FileExists(t, path, "%s says that %s is there", variable, name)
		return path
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is needed: `make test-e2e` brings it, or set %s to its path", name, variable)
	return path
}

// Repository returns the root of this repository.
func Repository(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(t, ok)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
