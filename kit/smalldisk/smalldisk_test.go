//go:build linux

package smalldisk_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/smalldisk"
)

func TestASmallDiskIsFullAndHasRoomAgain(t *testing.T) {
	dir := smalldisk.New(t, 4)
	write := func(bytes int) error { return os.WriteFile(filepath.Join(dir, "file"), make([]byte, bytes), 0o600) }
	others := smalldisk.Fill(t, dir, 1<<20)
	require.ErrorIs(t, write(2<<20), syscall.ENOSPC)
	require.NoError(t, write(1<<19))
	smalldisk.Resize(t, dir, 8)
	require.NoError(t, write(2<<20))
	smalldisk.Resize(t, dir, 6)
	require.ErrorIs(t, write(4<<20), syscall.ENOSPC)
	require.NoError(t, os.Remove(others))
	require.NoError(t, write(4<<20))
}
