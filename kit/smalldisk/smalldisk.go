//go:build linux

// Package smalldisk has small file systems for tests of what happens when a disk is full.
package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// New is a folder of a file system of its own, of so many MiB, until the test ends. The test is skipped where nothing may be
// mounted.
func New(t testing.TB, mib int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size(mib))
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("a small disk is not to be had here: mounting a tmpfs: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// Resize gives the file system of New another size.
func Resize(t testing.TB, dir string, mib int) {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, size(mib)))
}

func size(mib int) string { return fmt.Sprintf("size=%dm", mib) }

// Fill takes all the room that is left on a disk but so many bytes, and returns the file that takes it.
func Fill(t testing.TB, dir string, left uint64) string {
	t.Helper()
	const piece = 4096
	name := filepath.Join(dir, "others")
	f, err := os.Create(name)
	require.NoError(t, err)
	for err == nil && free(t, dir) > left {
		_, err = f.Write(make([]byte, piece))
	}
	if err != nil {
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	require.NoError(t, f.Close())
	return name
}

func free(t testing.TB, dir string) uint64 {
	var stat syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &stat))
	return stat.Bavail * uint64(stat.Bsize)
}
