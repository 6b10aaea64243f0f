package processdir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestTheDiskOfStoredLinesIsGivenBack(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	const count = 9 << 10
	line := strings.Repeat("x", 1000)
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "%05d %s\n", i, line)
	}
	f.print(t, "prices-v1", "estimate.model-0", text.String())
	disk := func() int64 {
		info, err := os.Stat(f.logFile("prices-v1", "estimate.model-0"))
		require.NoError(t, err)
		require.EqualValues(t, text.Len(), info.Size())
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	before := disk()
	_, end := f.follow(t, f.logs)
	f.await(t, "prices-v1", count)
	if !canPunch(t) {
		t.Log("this file system cannot give disk back")
	} else {
		// It is given back 4 MiB at a time, so that where the parts end decides how much is left.
		require.Eventually(t, func() bool { return disk() < before-3<<20 }, patience, tick)
	}
	end()
	f.print(t, "prices-v1", "estimate.model-0", "") // as long as before
	f.drop(t)
	f.follow(t, f.logs)
	f.print(t, "prices-v1", "estimate.other-0", "other\n")
	require.Equal(t, "other", string(f.await(t, "prices-v1", 1)[0].Text), "nothing is stored again")
}

// canPunch tells whether the file system of tests gives the disk of a part of a file back.
func canPunch(t *testing.T) bool {
	t.Helper()
	name := filepath.Join(t.TempDir(), "probe")
	require.NoError(t, os.WriteFile(name, make([]byte, 8192), 0o600))
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096) == nil
}
