package up

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/kit/proc"
)

func TestLogsArePutAsideWhileTheEngineRuns(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "logs", "admin-api.log")
	log, err := openLog(name)
	require.NoError(t, err)
	watching := &observer{screen: screen.New(screen.Options{Out: io.Discard}), logs: map[string]io.Writer{"admin-api": log}}
	line := strings.Repeat("x", 1<<20)
	// As somebody who makes a service log as much as they like.
	const lines = 8 * rotateAbove >> 20
	for i := range lines {
		watching.Printed(proc.Line{Name: "admin-api", Text: strconv.Itoa(i) + line})
	}
	require.NoError(t, log.Close())

	entries, err := os.ReadDir(filepath.Dir(name))
	require.NoError(t, err)
	require.Len(t, entries, 1+keptLogs)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(rotateAbove))
		require.EqualValues(t, 0o600, info.Mode().Perm())
	}
	last, err := os.ReadFile(name)
	require.NoError(t, err)
	require.True(t, bytes.Contains(last, []byte(strconv.Itoa(lines-1)+"x")), "the last line is in the log")
	before, err := os.ReadFile(name + ".1")
	require.NoError(t, err)
	first := string(last[:bytes.IndexByte(last, 'x')])
	number, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.True(t, bytes.Contains(before, []byte(strconv.Itoa(number-1)+"x")), "what was before is in the newest of those put aside")
}

func TestALogThatCannotBePutAsideDoesNotGrow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "admin-api.log")
	log, err := openLog(name)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(name+".1", "in the way"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(name+".2", "in the way"), 0o700))
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 3 * rotateAbove >> 20 {
		_, err := log.Write(line)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(rotateAbove))
}
