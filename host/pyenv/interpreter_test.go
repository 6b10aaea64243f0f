package pyenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/pyenv"
)

// fake is a script that says it is that Python.
func fake(t *testing.T, version string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "python")
	script := "#!/bin/sh\necho '{\"path\":\"/opt/python\",\"version\":\"" + version + "\",\"tag\":\"cp3\",\"platform\":\"linux/amd64\"}'\n"
	require.NoError(t, os.WriteFile(name, []byte(script), 0o755))
	return name
}

func TestTheNamedPythonIsTaken(t *testing.T) {
	named, inEnvironment := fake(t, "3.11.1"), fake(t, "3.12.1")
	t.Setenv("KRE_PYTHON", inEnvironment)
	found, err := pyenv.Find(t.Context(), named, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "3.11.1", found.Version)
	found, err = pyenv.Find(t.Context(), "", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "3.12.1", found.Version)
	t.Setenv("KRE_PYTHON", "")
	t.Setenv("PATH", filepath.Dir(fake(t, "3.9.0")))
	require.NoError(t, os.Symlink(fake(t, "3.13.1"), filepath.Join(os.Getenv("PATH"), "python3")))
	found, err = pyenv.Find(t.Context(), "", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "3.13.1", found.Version)
}

func TestAScriptIsAskedEachTimeWhatItIs(t *testing.T) {
	python, cache := fake(t, "3.11.1"), t.TempDir()
	_, err := pyenv.Find(t.Context(), python, cache)
	require.NoError(t, err)
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Empty(t, entries, "it may choose another Python the next time")
}

func TestAnOldOrMissingPythonIsToldOf(t *testing.T) {
	old := fake(t, "3.9.2")
	_, err := pyenv.Find(t.Context(), old, t.TempDir())
	require.EqualError(t, err, old+" is Python 3.9.2: nodes need Python 3.10 or later. Name one in KRE_PYTHON")

	t.Setenv("KRE_PYTHON", "no-such-python")
	_, err = pyenv.Find(t.Context(), "", t.TempDir())
	require.EqualError(t, err,
		`no Python: "no-such-python" cannot be found. Install Python 3.10 or later, or name one in KRE_PYTHON`)
}
