package harness

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
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

// Listening are the TCP addresses at which processes of the engine listen.
func (e *Engine) Listening(t testing.TB) []string {
	t.Helper()
	own := make(map[string]bool)
	for _, p := range e.Processes("") {
		folder := fmt.Sprintf("/proc/%d/fd", p.PID)
		files, err := os.ReadDir(folder)
		if err != nil {
			continue // it has ended meanwhile
		}
		for _, file := range files {
			if target, err := os.Readlink(filepath.Join(folder, file.Name())); err == nil {
				own[target] = true
			}
		}
	}
	var addresses []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			// local address, remote address, state (0A: it listens), …, inode
			if fields := strings.Fields(line); len(fields) > 9 && fields[3] == "0A" && own["socket:["+fields[9]+"]"] {
				addresses = append(addresses, address(t, fields[1]))
			}
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// address reads one of those tables: the address as 32-bit words in the machine's order, and the port.
func address(t testing.TB, text string) string {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	require.NoError(t, err)
	raw, err := hex.DecodeString(host)
	require.NoError(t, err)
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4]) // of a little-endian machine
	}
	return net.JoinHostPort(net.IP(raw).String(), strconv.FormatUint(number, 10))
}
