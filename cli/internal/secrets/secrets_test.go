package secrets_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/secrets"
)

// maker is a program that makes a keyset as admin-api does; what it makes is another one each time.
func maker(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "maker")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755))
	return file
}

func TestSecretsAreMadeOnceAndForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	program := maker(t, `[ "$1" = new-keyset ] || exit 1; [ ! -e "$2" ] || exit 1; echo "keys of $$" > "$2"`)
	var contents []map[string]string
	var all []*secrets.Secrets
	for range 2 {
		s, err := secrets.Open(dir)
		require.NoError(t, err)
		require.NoError(t, s.MakeKeyset(t.Context(), program))
		_, err = s.Operator()
		require.NoError(t, err)
		all, contents = append(all, s), append(contents, files(t, dir))
	}
	require.Equal(t, all[0], all[1])
	require.Equal(t, contents[0], contents[1])
	require.Equal(t, all[0].AdminToken+"\n", contents[0]["admin.token"])
	require.Len(t, map[string]bool{
		all[0].AdminToken: true, all[0].ServiceToken: true, all[0].S3AccessKey: true, all[0].S3SecretKey: true,
	}, 4)
	for _, name := range []string{"service.token", "s3.access", "s3.secret", "keyset.json", "nats/operator.seed", "nats/system.creds"} {
		require.NotEmpty(t, contents[0][name], name)
	}
}

// files are the contents of all files of a folder, which nobody but their owner may read.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	contents := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, path)
		if entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		name, err := filepath.Rel(dir, path)
		contents[name] = string(content)
		return err
	}))
	return contents
}

func TestAnEmptySecretIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "service.token"), []byte("\n"), 0o600))
	_, err := secrets.Open(dir)
	require.ErrorContains(t, err, "service.token is empty")
}

func TestAKeysetThatIsNotMadeIsTriedAgain(t *testing.T) {
	s, err := secrets.Open(t.TempDir())
	require.NoError(t, err)
	err = s.MakeKeyset(t.Context(), maker(t, `echo half > "$2"; echo "no randomness" >&2; exit 3`))
	require.ErrorContains(t, err, "no randomness")
	require.NoFileExists(t, s.Keyset())
	require.NoError(t, s.MakeKeyset(t.Context(), maker(t, `[ ! -e "$2" ] && echo keys > "$2"`)))
	require.FileExists(t, s.Keyset())
}
