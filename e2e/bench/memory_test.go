package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/krt/archive"
)

const modelBytes = 512 << 20

// BenchmarkMemory measures the largest resident set while a package of 512 MiB is packed and unpacked.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		p := initialized(b, harness.Python)
		writeModel(b, p.Path("models/large.bin"))
		file := filepath.Join(b.TempDir(), "large.krt")
		record(b, "pack_rss_mib", peak(b, exec.Command(harness.Program(b, "kre"), "pack", p.Dir, "-o", file)), "at most 64")
		self, err := os.Executable()
		require.NoError(b, err)
		record(b, "unpack_rss_mib", peak(b, exec.Command(self, "unpack", file, filepath.Join(b.TempDir(), "large"))), "at most 64")
	}
}

// BenchmarkNodeMemory measures what runner and worker of a Python node take together before its author's code does anything: the
// mean of three nodes.
func BenchmarkNodeMemory(b *testing.B) {
	for b.Loop() {
		p := harness.Copy(b, filepath.Join("testdata", "chain-python"))
		run := harness.Ready(b, harness.Options{Target: p.Dir, Args: []string{"--no-watch"}})
		var sum int64
		counted := make(map[string]int)
		for _, process := range harness.ProcessesOf(b, p.Dir) {
			if process.Program == "runner" || strings.HasPrefix(process.Program, "python") {
				sum += process.Memory
				counted[process.Program]++
			}
		}
		require.Len(b, counted, 2, "runners and workers")
		for program, count := range counted {
			require.Equal(b, 3, count, program)
		}
		record(b, "python_node_rss_mib", float64(sum)/3/mib, "less than 60, runner and worker")
		run.Stop(b)
	}
}

// writeModel writes a file that does not compress.
func writeModel(b *testing.B, path string) {
	b.Helper()
	require.NoError(b, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	require.NoError(b, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), modelBytes)
	require.NoError(b, err)
	require.NoError(b, f.Close())
}

// peak runs a command and returns its largest resident set in MiB.
func peak(b *testing.B, cmd *exec.Cmd) float64 {
	b.Helper()
	output, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", output)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	require.True(b, ok)
	return float64(usage.Maxrss) / 1024
}

// unpack is what the process runs whose memory is measured: this program, called again.
func unpack(file, dir string) int {
	f, err := os.Open(file)
	if err == nil {
		_, err = archive.Unpack(context.Background(), f, dir, archive.UnpackOptions{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
