package proc

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Options of a Supervisor; the zero value works.
type Options struct {
	Observer Observer // nil: nobody is told
	// Guard is a command that calls Guard and nothing else, normally this very program with a hidden argument. It is
	// started with the first process and outlives this program by a moment, to kill what is left of the process groups if
	// this program is killed. Without it, on Linux, only the processes started here die in that case, not their children.
	Guard *exec.Cmd
}

// Supervisor starts processes and looks after them.
type Supervisor struct {
	observer Observer
	guard    *guard
	starts   chan func()

	mu        sync.Mutex
	closed    bool
	processes map[*Process]struct{}
}

// New is a supervisor without processes. It holds an operating-system thread until Close.
func New(o Options) *Supervisor {
	s := &Supervisor{
		observer:  o.Observer,
		starts:    make(chan func()),
		processes: make(map[*Process]struct{}),
	}
	if s.observer == nil {
		s.observer = deaf{}
	}
	if o.Guard != nil {
		s.guard = &guard{cmd: o.Guard}
	}
	go s.serveStarts()
	return s
}

// serveStarts starts processes on one thread that stays: on Linux a child is told of the death of the thread that
// started it, not of the process.
func (s *Supervisor) serveStarts() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for start := range s.starts {
		start()
	}
}

func (s *Supervisor) startProcess(path string, argv []string, attr *os.ProcAttr, guarded bool) (process *os.Process, err error) {
	done := make(chan struct{})
	s.starts <- func() {
		defer close(done)
		process, err = os.StartProcess(path, argv, attr)
	}
	<-done
	if err == nil && guarded {
		s.guard.add(process.Pid)
	}
	return process, err
}

// Start starts a process and returns at once; what becomes of it is told by the Process and to the observer. After Close
// the process ends with a Failure.
func (s *Supervisor) Start(spec Spec) *Process {
	p := newProcess(s, spec)
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.processes[p] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		p.failure = &Failure{Name: spec.Name, Reason: "was not started: the supervisor is closed"}
		close(p.done)
		p.feed.close()
		return p
	}
	go func() {
		p.run()
		<-p.feed.drained // Close waits for those that are still being told of
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.processes, p)
	}()
	return p
}

// KillAll kills every process and all they started, detached ones too. It does not wait, and does not keep new ones from being started.
func (s *Supervisor) KillAll() {
	for _, p := range s.running() {
		p.Stop(0)
	}
}

func (s *Supervisor) running() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Process, 0, len(s.processes))
	for p := range s.processes {
		all = append(all, p)
	}
	return all
}

// Close kills what still runs, waits for it, gives the observer a second to hear the rest, and ends the guard. Detached
// processes go on, and are no longer looked after. Nothing can be started afterwards.
func (s *Supervisor) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	left := s.running()
	for _, p := range left {
		if p.spec.Detached != nil {
			p.release()
		} else {
			p.Stop(0)
		}
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for _, p := range left {
		<-p.Done()
		select {
		case <-p.feed.drained:
		case <-patience.C:
			patience.Reset(0)
		}
	}
	close(s.starts)
	s.guard.close()
}

type deaf struct{}

func (deaf) Changed(Event) {}
func (deaf) Printed(Line)  {}
