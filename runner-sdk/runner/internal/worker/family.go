package worker

import (
	"maps"
	"slices"
	"strconv"
	"sync"
)

// family are the processes of workers that live. Every other child of this process is one that a worker has left.
type family struct {
	mu    sync.Mutex
	last  int
	marks map[int]string // by process id
}

// add starts one more, which its mark tells from the others.
func (f *family) add(start func(mark string) (pid int, err error)) error {
	f.mu.Lock() // so that nobody takes it for an orphan before it is known
	defer f.mu.Unlock()
	f.last++
	mark := strconv.Itoa(f.last)
	pid, err := start(mark)
	if err == nil {
		if f.marks == nil {
			f.marks = make(map[int]string)
		}
		f.marks[pid] = mark
	}
	return err
}

// remove says that one has ended, and ends what it has left running. What bears no mark is ended with the last of them.
func (f *family) remove(pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mark := f.marks[pid]
	delete(f.marks, pid)
	if len(f.marks) == 0 {
		mark = ""
	}
	endOrphans(slices.Collect(maps.Keys(f.marks)), mark)
}
