package sealed_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/sealed"
)

func TestWhatIsSealedOpensForItsPlaceOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, sealed.NewKeyset(file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	s, err := sealed.Open(file)
	require.NoError(t, err)

	value, err := s.Seal([]byte("secret"), []byte("prod/v1/KEY"))
	require.NoError(t, err)
	require.NotContains(t, string(value), "secret")
	plain, err := s.Open(value, []byte("prod/v1/KEY"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = s.Open(value, []byte("prod/v2/KEY"))
	require.Error(t, err)

	again, err := sealed.Open(file)
	require.NoError(t, err)
	_, err = again.Open(value, []byte("prod/v1/KEY"))
	require.NoError(t, err)
}

func TestAKeysetIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keyset.json")
	require.NoError(t, sealed.NewKeyset(file))
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.ErrorIs(t, sealed.NewKeyset(file), fs.ErrExist)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestAFileThatIsNoKeysetIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err := sealed.Open(file)
	require.ErrorContains(t, err, file)
}
