package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// endOrphans kills and reaps what a worker has left running: every child of this process but the one given, again until
// there is none, since the children of those that die become ours as well.
func endOrphans(but int) {
	const rounds = 100 // somebody that forks faster than it is killed is not waited for
	for range rounds {
		orphans := children(but)
		if len(orphans) == 0 {
			return
		}
		for _, pid := range orphans {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, pid := range orphans {
			reap(pid)
		}
	}
}

func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// children are the children of this process but one.
func children(but int) []int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	if err != nil {
		return nil
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid != but {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
