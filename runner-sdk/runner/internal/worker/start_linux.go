package worker

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// starter starts processes in a thread that lives as long as this process: the kernel ends a child with the thread that
// started it.
var starter = sync.OnceValue(func() chan<- func() {
	// Whatever a worker leaves running becomes a child of ours.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // before Linux 3.4: those stay
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// start starts a process that is killed when this one ends, in this one's group.
func start(path string, argv []string, attr *os.ProcAttr) (process *os.Process, err error) {
	attr.Sys = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan struct{})
	starter() <- func() {
		process, err = os.StartProcess(path, argv, attr)
		close(done)
	}
	<-done
	return process, err
}
