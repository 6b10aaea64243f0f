package launch_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/launch"
)

func TestConfigurationFilesAreWrittenForThisUserAloneAndOldOnesRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	paths, err := launch.WriteFiles(dir, map[string][]byte{"CERT": []byte("one"), "KEY": []byte("two")})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"CERT": filepath.Join(dir, "CERT"), "KEY": filepath.Join(dir, "KEY")}, paths)
	for _, path := range paths {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	_, err = launch.WriteFiles(dir, map[string][]byte{"CERT": []byte("three")})
	require.NoError(t, err)
	content, err := os.ReadFile(paths["CERT"])
	require.NoError(t, err)
	require.Equal(t, "three", string(content))
	require.NoFileExists(t, paths["KEY"])
}

func TestAConfigurationFileCannotLeaveItsFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"../CERT", "/CERT", "a/b", "", ".", "..", "with space"} {
		_, err := launch.WriteFiles(filepath.Join(dir, "files"), map[string][]byte{name: nil})
		require.ErrorContains(t, err, "the name is not that of an environment variable", name)
	}
	require.NoFileExists(t, filepath.Join(dir, "CERT"))
}

func TestCredentialsAreForThisUserAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run", "nats.creds")
	for _, content := range []string{"first", "second"} {
		require.NoError(t, launch.WriteCredentials(file, []byte(content)))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
	}
	for name, mode := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
	}
}
