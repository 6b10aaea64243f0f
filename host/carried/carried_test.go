package carried_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/carried"
)

func TestCarriesTheSDKAndWhatItNeeds(t *testing.T) {
	wheels, err := carried.Wheels()
	require.NoError(t, err)
	for _, pattern := range []string{"kre_sdk-*-py3-none-any.whl", "protobuf-*.whl"} {
		found, err := fs.Glob(wheels, pattern)
		require.NoError(t, err)
		require.Len(t, found, 1, pattern)
	}
	installer, err := carried.Installer()
	require.NoError(t, err)
	only, err := fs.Glob(installer, "*")
	require.NoError(t, err)
	require.Len(t, only, 1)
	require.Regexp(t, `^installer-.*-py3-none-any\.whl$`, only[0])
	dev, err := carried.DevWheels()
	require.NoError(t, err)
	found, err := fs.Glob(dev, "pytest-*.whl")
	require.NoError(t, err)
	require.Len(t, found, 1)
}

func TestWritesTheGoSDKWithoutItsTests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sdk", "go")
	require.NoError(t, carried.GoSDK(dir))
	require.FileExists(t, filepath.Join(dir, "go.mod"))
	require.FileExists(t, filepath.Join(dir, "go.sum"))
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		require.NotRegexp(t, `_test\.go$`, path)
		return err
	}))
	require.Error(t, carried.GoSDK(dir), "an SDK is never written over another")
}

func TestDigestOfTheGoSDKIsStable(t *testing.T) {
	first, err := carried.GoSDKDigest()
	require.NoError(t, err)
	require.Len(t, first, 64)
	second, err := carried.GoSDKDigest()
	require.NoError(t, err)
	require.Equal(t, first, second)
}
