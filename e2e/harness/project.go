package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Language is what the nodes of a project are written in.
type Language string

// The languages.
const (
	Python Language = "python"
	Go     Language = "go"
)

// Languages returns all of them.
func Languages() []Language { return []Language{Python, Go} }

// Project is a folder of its own with a project in it.
type Project struct {
	Dir string
}

// Copy copies the project in the folder to one that the test may change.
func Copy(t testing.TB, from string) Project {
	t.Helper()
	p := Project{Dir: filepath.Join(t.TempDir(), filepath.Base(from))}
	require.NoError(t, os.CopyFS(p.Dir, os.DirFS(from)))
	return p
}

// Testdata copies a project below testdata, of which only the nodes in that language are kept. Its manifest names the
// Python sources, src/<x>/main.py; the Go source of the same node is in cmd/<x>.
func Testdata(t testing.TB, name string, language Language) Project {
	t.Helper()
	p := Copy(t, filepath.Join(Repository(t), "e2e", "testdata", name))
	if language == Python {
		p.Remove(t, "cmd", "go.mod", "go.sum")
		return p
	}
	p.Remove(t, "src")
	manifest := p.Read(t, "krt.yml")
	manifest = strings.ReplaceAll(strings.ReplaceAll(manifest, "src: src/", "src: bin/"), "/main.py", "")
	p.Write(t, "krt.yml", manifest)
	return p
}

// Path returns the path of a file of the project.
func (p Project) Path(name string) string { return filepath.Join(p.Dir, filepath.FromSlash(name)) }

// Read returns the content of a file.
func (p Project) Read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(p.Path(name))
	require.NoError(t, err)
	return string(content)
}

// Write writes a file as an editor saves it: to another name first, so that nobody sees half of it.
func (p Project) Write(t testing.TB, name, content string) {
	t.Helper()
	path := p.Path(name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path+"~", []byte(content), 0o644))
	require.NoError(t, os.Rename(path+"~", path))
}

// MakeExecutable lets a file be started as a program.
func (p Project) MakeExecutable(t testing.TB, name string) {
	t.Helper()
	require.NoError(t, os.Chmod(p.Path(name), 0o755))
}

// Replace replaces the one occurrence of a text in a file.
func (p Project) Replace(t testing.TB, name, before, after string) {
	t.Helper()
	content := p.Read(t, name)
	require.Equal(t, 1, strings.Count(content, before), "occurrences of %q in %s", before, name)
	p.Write(t, name, strings.Replace(content, before, after, 1))
}

// Remove removes files and folders.
func (p Project) Remove(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, os.RemoveAll(p.Path(name)))
	}
}
