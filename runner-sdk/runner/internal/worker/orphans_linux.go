package worker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// endOrphans kills and reaps what a worker has left running: every child of this process but those given, or only those that
// bear the mark, if it is not empty; again until there is none, since the children of those that die become ours as well.
func endOrphans(but []int, mark string) {
	const rounds = 100 // somebody that forks faster than it is killed is not waited for
	for range rounds {
		orphans := slices.DeleteFunc(children(but), func(pid int) bool { return mark != "" && !bears(pid, mark) })
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

func reap(pid int) { wait(pid, 0) }

func wait(pid, options int) {
	for {
		if _, err := unix.Wait4(pid, nil, options, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// watch reaps what workers have left and what ends by itself, until quit is closed.
func (f *family) watch(quit <-chan struct{}) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ended:
		case <-quit:
			return
		}
		f.mu.Lock()
		for _, pid := range children(slices.Collect(maps.Keys(f.marks))) {
			wait(pid, unix.WNOHANG)
		}
		f.mu.Unlock()
	}
}

// bears tells whether a process was started with a mark, or is the child of one that was.
func bears(pid int, mark string) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append(environment, 0), []byte(markVariable+"="+mark+"\x00"))
}

// children are the children of this process but those given.
func children(but []int) []int {
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
			if pid, err := strconv.Atoi(field); err == nil && !slices.Contains(but, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
