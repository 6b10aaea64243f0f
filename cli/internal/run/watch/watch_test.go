package watch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run/watch"
)

func write(t *testing.T, parts ...string) {
	t.Helper()
	file := filepath.Join(parts...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
}

func start(t *testing.T, o watch.Options) *watch.Watcher {
	t.Helper()
	w, err := watch.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

// until gathers changes until all of want were told, and returns all that were.
func until(t *testing.T, w *watch.Watcher, want ...string) []string {
	t.Helper()
	var got []string
	for {
		select {
		case batch := <-w.Changes():
			got = append(got, batch...)
		case <-time.After(30 * time.Second):
			require.Failf(t, "changes are missing", "want %v, got %v", want, got)
		}
		if !slices.ContainsFunc(want, func(path string) bool { return !slices.Contains(got, path) }) {
			slices.Sort(got)
			return slices.Compact(got)
		}
	}
}

func TestTellsFilesThatAreMadeWrittenRenamedAndRemoved(t *testing.T) {
	root := t.TempDir()
	write(t, root, "src", "etl", "main.py")
	write(t, root, "old")
	w := start(t, watch.Options{Root: root})

	write(t, root, "src", "etl", "main.py")
	until(t, w, "src/etl/main.py")
	write(t, root, "new")
	until(t, w, "new")
	require.NoError(t, os.Rename(filepath.Join(root, "new"), filepath.Join(root, "src", "moved")))
	until(t, w, "new", "src/moved")
	require.NoError(t, os.Remove(filepath.Join(root, "old")))
	until(t, w, "old")
}

func TestTellsFilesInFoldersThatAreNew(t *testing.T) {
	root := t.TempDir()
	w := start(t, watch.Options{Root: root})
	write(t, root, "a", "b", "c", "file")
	until(t, w, "a/b/c/file")
	write(t, root, "a", "b", "c", "second")
	until(t, w, "a/b/c/second")
}

func TestSaysNothingAboutWhatIsIgnoredOrOnlyTouched(t *testing.T) {
	root := t.TempDir()
	write(t, root, ".git", "index")
	write(t, root, "touched")
	w := start(t, watch.Options{Root: root, Ignore: func(path string, _ bool) bool {
		return strings.HasPrefix(path, ".git") || strings.HasSuffix(path, "~")
	}})
	write(t, root, ".git", "index")
	write(t, root, ".git", "new", "file")
	write(t, root, "main.py~")
	require.NoError(t, os.Chmod(filepath.Join(root, "touched"), 0o644))
	write(t, root, "last")
	require.Equal(t, []string{"last"}, until(t, w, "last"))
}

func TestTellsFilesElsewhereButNotTheirNeighbours(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	file := filepath.Join(elsewhere, ".env")
	write(t, file)
	w := start(t, watch.Options{Root: root, Also: []string{file}})
	write(t, elsewhere, "neighbour")
	write(t, file)
	require.Equal(t, []string{file}, until(t, w, file))
}

func TestChangesGatherWhileNobodyListens(t *testing.T) {
	root := t.TempDir()
	w := start(t, watch.Options{Root: root})
	for _, name := range []string{"c", "a", "b"} {
		write(t, root, name)
	}
	require.Equal(t, []string{"a", "b", "c"}, until(t, w, "a", "b", "c"))
}

func TestSaysWhichFolderCannotBeWatched(t *testing.T) {
	_, err := watch.New(watch.Options{Root: filepath.Join(t.TempDir(), "missing")})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "missing")
}
