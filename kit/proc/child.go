package proc

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a running process, the leader of its own group.
type child struct {
	pid     int
	process *os.Process // nil: an earlier supervisor's child
	pidfd   int         // where process is nil
	guard   *guard
	ended   chan *os.ProcessState // nil is sent where nobody knows how

	pipes   []*os.File
	reading sync.WaitGroup

	mu     sync.Mutex
	reaped bool
}

func (c *child) read(pipe *os.File, limit int, emit func(text string, cut int)) {
	c.pipes = append(c.pipes, pipe)
	c.reading.Go(func() { readLines(pipe, limit, emit) })
}

// terminate asks the process to end; one that has ended needs no asking.
func (c *child) terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.reaped:
	case c.process == nil:
		c.terminateAdopted()
	default:
		_ = c.process.Signal(syscall.SIGTERM)
	}
}

// killGroup kills the process and everything it started that did not leave its group.
func (c *child) killGroup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped { // afterwards the number may be somebody else's
		_ = unix.Kill(-c.pid, syscall.SIGKILL) // an empty group is what is wanted
	}
}

// wait sends how the process ended, after its group is gone and what it printed is read.
func (c *child) wait() {
	// While the dead process is not reaped its number, and with it the group's, is nobody else's.
	if awaitZombie(c.pid) {
		c.killGroup()
	}
	state, err := c.process.Wait()
	c.mu.Lock()
	c.reaped = true
	c.mu.Unlock()
	killRest(c.pid)
	c.guard.remove(c.pid)
	if err != nil { // somebody else reaped it; nothing is known of its end
		state = &os.ProcessState{}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.reading.Wait()
	}()
	select {
	case <-read:
	case <-time.After(drain):
	}
	closeAll(c.pipes...)
	<-read
	c.ended <- state
}
