package cliconfig_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
)

func TestWhereThereIsNoConfigurationItIsEmpty(t *testing.T) {
	t.Setenv("KRE_CONFIG_DIR", t.TempDir())
	config, err := cliconfig.Load()
	require.NoError(t, err)
	require.Empty(t, config.Current)
	require.NotNil(t, config.Contexts)
	require.Empty(t, config.Contexts)
}

func TestWhatIsSavedIsLoadedAndForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv("KRE_CONFIG_DIR", dir)
	saved := cliconfig.Config{Current: "local", Contexts: map[string]cliconfig.Context{
		"local": {GRPC: "127.0.0.1:7081", HTTP: "http://127.0.0.1:7080", Token: "secret", Runtime: "pricing"},
		"other": {GRPC: "kre.example:443", HTTP: "https://kre.example"},
	}}
	require.NoError(t, saved.Save())
	loaded, err := cliconfig.Load()
	require.NoError(t, err)
	require.Equal(t, saved, loaded)

	for name, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "config.json"): 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing else is left")
}

func TestABrokenFileIsNamedAndNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KRE_CONFIG_DIR", dir)
	file := filepath.Join(dir, "config.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := cliconfig.Load()
	require.ErrorContains(t, err, file)
}
