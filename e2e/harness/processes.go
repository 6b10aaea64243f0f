package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Process is a live process of an engine.
type Process struct {
	PID     int
	Program string   // base name of what runs
	Args    []string // without the program
	Memory  int64    // resident bytes
}

// Processes lists the live processes of the engine that run this program, or any: those whose command line or environment
// names the engine's data directory.
func (e *Engine) Processes(program string) []Process {
	e.t.Helper()
	return slices.DeleteFunc(ProcessesOf(e.t, e.Data), func(p Process) bool { return program != "" && p.Program != program })
}

// ProcessesOf lists the live processes whose command line or environment names a folder.
func ProcessesOf(t testing.TB, dir string) []Process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(command) == 0 {
			continue // it has ended meanwhile, or is a thread of the kernel
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(append(environment, command...), []byte(dir)) {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(command), "\x00"), "\x00")
		found = append(found, Process{PID: pid, Program: filepath.Base(args[0]), Args: args[1:], Memory: resident(pid)})
	}
	return found
}

// resident is the resident memory of a process in bytes, 0 where it has ended.
func resident(pid int) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(content))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
