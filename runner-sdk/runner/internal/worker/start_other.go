//go:build !linux

package worker

import "os"

// start starts a process in this one's group. It ends at the end of its socket when this one is killed.
func start(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	return os.StartProcess(path, argv, attr)
}

// endOrphans does nothing here: a worker's children are nobody's when it has ended.
func endOrphans([]int, string) {}

func (f *family) watch(<-chan struct{}) {}
