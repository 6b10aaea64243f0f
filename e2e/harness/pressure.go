package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What presses the machine, as a shell has it: loops that compute, and loops that write a megabyte each to the disk.
const (
	busyLoops  = 3
	busyLoop   = `while :; do :; done`
	fsyncLoops = 2
	fsyncLoop  = `while :; do dd if=/dev/zero of="$0" bs=1M count=1 conv=fsync 2>/dev/null; done`
)

// Press keeps the machine busy, processors and disk, until the returned function is called or the test ends.
func Press(t testing.TB) (release func()) {
	t.Helper()
	dir := t.TempDir()
	var running []*exec.Cmd
	release = func() {
		for _, cmd := range running {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the loop and what it has started
			_ = cmd.Wait()                                      // by that signal
		}
		running = nil
	}
	t.Cleanup(release)
	start := func(args ...string) {
		cmd := exec.Command("sh", append([]string{"-c"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		running = append(running, cmd)
	}
	for range busyLoops {
		start(busyLoop)
	}
	for i := range fsyncLoops {
		start(fsyncLoop, filepath.Join(dir, strconv.Itoa(i)))
	}
	return release
}

// LoadAverage is the machine's load of the last minute; 0 where nobody knows.
func LoadAverage() float64 {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}
