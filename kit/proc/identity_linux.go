package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const canDetach = true

// bootID is different each time the kernel boots.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // then a process that has our record's number and ticks after another boot is taken for ours
	}
	return strings.TrimSpace(string(id))
})

// startOf is when a process began, in ticks since boot: with its number it names the process for good. false: it is
// dead, reaped or not.
func startOf(pid int) (ticks uint64, alive bool, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	// The name stands in brackets and may hold anything; the state is the 3rd field, the start the 22nd.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, false, fmt.Errorf("/proc/%d/stat cannot be read: %q", pid, stat)
	}
	ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("/proc/%d/stat cannot be read: %w", pid, err)
	}
	dead := bytes.Equal(fields[0], []byte("Z")) || bytes.Equal(fields[0], []byte("X"))
	return ticks, !dead, nil
}

func isAlive(pid int, start uint64) bool {
	ticks, alive, err := startOf(pid)
	return err == nil && alive && ticks == start
}

// errGone says that a process has ended.
var errGone = errors.New("it has ended")

// adopt looks after a process that somebody else has started. Its end is told as a nil state: nobody but its parent
// learns more.
func adopt(pid int, start uint64) (*child, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	// Only now the number cannot become somebody else's under our hands.
	if !isAlive(pid, start) {
		_ = unix.Close(fd) // never used
		return nil, errGone
	}
	c := &child{pid: pid, pidfd: fd, ended: make(chan *os.ProcessState, 1)}
	go c.waitAdopted()
	return c, nil
}

// waitAdopted sends nil when the process has ended and its group is gone.
func (c *child) waitAdopted() {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}, -1) //nolint:gosec // descriptors are small
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.mu.Lock()
	c.reaped = true
	_ = unix.Close(c.pidfd) // only read from
	c.mu.Unlock()
	// As long as anybody is in the group, its number is not given to another.
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	c.ended <- nil
}

func (c *child) terminateAdopted() {
	_ = unix.PidfdSendSignal(c.pidfd, unix.SIGTERM, nil, 0) // one that has ended needs none
}

// holders are the processes that have a file open and hand it on to what they start; what has just been forked and is
// about to close it is not among them, nor are we.
func holders(file *os.File) ([]int, error) {
	wanted, err := file.Stat()
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, link := range links {
		parts := strings.Split(link, "/")
		pid, err := strconv.Atoi(parts[2])
		if err != nil || pid == os.Getpid() {
			continue
		}
		// What has ended meanwhile, or is another user's, cannot be looked at.
		if target, err := os.Readlink(link); err != nil || !strings.HasPrefix(target, "/") {
			continue
		}
		if info, err := os.Stat(link); err != nil || !os.SameFile(info, wanted) {
			continue
		}
		if !closesOnExec(parts[2], parts[4]) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// closesOnExec tells whether a descriptor is closed when its process executes a program.
func closesOnExec(pid, fd string) bool {
	info, err := os.ReadFile("/proc/" + pid + "/fdinfo/" + fd)
	if err != nil {
		return true // gone meanwhile
	}
	for line := range strings.Lines(string(info)) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			return err != nil || flags&unix.O_CLOEXEC != 0
		}
	}
	return true
}
