package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// pollReady is how often the ready file is looked for, and drain how long after the end of a process its output is read
// on for (somebody it started may have left the group and still hold the pipe).
const (
	pollReady = 10 * time.Millisecond
	drain     = time.Second
)

// Process is one supervised program, through all its starts.
type Process struct {
	spec  Spec
	super *Supervisor
	feed  *feed
	stop  chan time.Duration
	ready chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	tail    *tail
	pid     int
	asked   bool
	failure *Failure
}

func newProcess(s *Supervisor, spec Spec) *Process {
	if spec.MaxLine <= 0 {
		spec.MaxLine = DefaultMaxLine
	}
	if spec.LastLines <= 0 {
		spec.LastLines = DefaultLastLines
	}
	spec.Backoff = spec.Backoff.withDefaults()
	return &Process{
		spec: spec, super: s, feed: newFeed(s.observer), tail: newTail(spec.LastLines),
		stop: make(chan time.Duration, 1), ready: make(chan struct{}), done: make(chan struct{}),
	}
}

// Name is the name in the Spec.
func (p *Process) Name() string { return p.spec.Name }

// PID is the process id now, 0 while nothing runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Tail is the last lines it printed, of all its starts.
func (p *Process) Tail() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail.all()
}

// Ready is closed when the process has become ready for the first time.
func (p *Process) Ready() <-chan struct{} { return p.ready }

// Done is closed when the process has ended, with everything it started, and is not started again.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is a *Failure when the process ended without having been asked to, and nil otherwise or while it runs.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		return nil
	}
	return p.failure
}

// WaitReady waits until the process is ready. The error is a *Failure when it ended instead, or the context's.
func (p *Process) WaitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
	}
	select {
	case <-p.ready: // both had happened
		return nil
	default:
	}
	if err := p.Err(); err != nil {
		return err
	}
	return &Failure{Name: p.spec.Name, Reason: "was stopped before it was ready", Tail: p.Tail()}
}

// Stop asks the process to end (SIGTERM) and, after grace, kills it and everything it started (SIGKILL to its group); a
// grace of 0 does that at once. It does not wait: see Done. Asking again shortens the grace but never extends it.
func (p *Process) Stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = true
	// Only one request waits, the most urgent one.
	select {
	case waiting := <-p.stop:
		grace = min(grace, waiting)
	default:
	}
	p.stop <- grace
}

func (p *Process) run() {
	defer p.feed.close()
	defer close(p.done)
	var pause time.Duration
	for start := 1; ; start++ {
		end := p.once(start)
		event := Event{Name: p.spec.Name, State: Ended, PID: end.pid, Start: start, Exit: end.exit, Asked: end.asked}
		if end.asked || end.failure != nil || !p.spec.Restart {
			if end.failure == nil && !end.asked {
				end.failure = p.fail(end.exit.String(), nil)
			}
			if end.failure != nil {
				event.Err = end.failure
				p.mu.Lock()
				p.failure = end.failure
				p.mu.Unlock()
			}
			p.feed.event(event)
			return
		}
		pause = p.spec.Backoff.next(pause, end.well)
		event.State, event.Next = Exited, pause
		p.feed.event(event)
		select {
		case <-time.After(pause):
		case <-p.stop:
			event.State, event.Asked, event.Next = Ended, true, 0
			p.feed.event(event)
			return
		}
	}
}

// ending is how one start of a process ended.
type ending struct {
	pid     int
	exit    Exit
	asked   bool
	well    time.Duration // how long it was ready
	failure *Failure      // set where it must not be started again
}

func (p *Process) fail(reason string, cause error) *Failure {
	return &Failure{Name: p.spec.Name, Reason: reason, Tail: p.Tail(), Cause: cause}
}

// everReady tells whether a start of this process has been ready.
func (p *Process) everReady() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}

func (p *Process) once(start int) ending {
	began := time.Now()
	if p.spec.ReadyFile != "" {
		if err := os.Remove(p.spec.ReadyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p.neverRan(err)
		}
	}
	child, err := p.launch()
	if err != nil {
		return p.neverRan(explain(p.spec.Path, err))
	}
	p.setPID(child.pid)
	defer p.setPID(0)
	p.feed.event(Event{Name: p.spec.Name, State: Starting, PID: child.pid, Start: start})

	w := watch{Process: p, child: child, start: start, began: began}
	return w.toTheEnd()
}

func (p *Process) setPID(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

// neverRan is the ending of a start that failed. Where an earlier start has been ready it is tried again like any other
// death: the program may be just being replaced.
func (p *Process) neverRan(err error) ending {
	end := ending{exit: Exit{Code: -1}}
	if !p.everReady() || !p.spec.Restart {
		end.failure = p.fail("cannot be started: "+err.Error(), err)
	}
	return end
}

// watch looks after one start of a process.
type watch struct {
	*Process
	child  *child
	start  int
	began  time.Time
	well   time.Time // since when it is ready
	asked  bool
	late   bool // it was killed because it did not become ready
	forced bool
}

func (w *watch) toTheEnd() ending {
	poll := time.NewTicker(pollReady)
	defer poll.Stop()
	var startTimeout, kill <-chan time.Time
	var killAt time.Time
	if w.spec.StartTimeout > 0 {
		timer := time.NewTimer(w.spec.StartTimeout)
		defer timer.Stop()
		startTimeout = timer.C
	}
	if w.spec.ReadyFile == "" {
		w.becameReady()
		poll.Stop()
	}
	for {
		select {
		case <-poll.C:
			if w.well.IsZero() && w.readyFileThere() {
				w.becameReady()
				poll.Stop()
			}
		case <-startTimeout:
			if w.well.IsZero() && !w.asked {
				w.late = true
				w.kill()
			}
		case grace := <-w.stop:
			if !w.asked {
				w.asked = true
				w.feed.event(Event{Name: w.spec.Name, State: Stopping, PID: w.child.pid, Start: w.start})
				if grace > 0 {
					_ = w.child.process.Signal(syscall.SIGTERM) // one that has ended needs none
				}
			}
			if grace <= 0 {
				w.kill()
				continue
			}
			if at := time.Now().Add(grace); killAt.IsZero() || at.Before(killAt) {
				killAt = at
				kill = time.After(grace)
			}
		case <-kill:
			w.kill()
		case state := <-w.child.ended:
			return w.ended(state)
		}
	}
}

func (w *watch) readyFileThere() bool {
	_, err := os.Stat(w.spec.ReadyFile)
	return err == nil
}

func (w *watch) becameReady() {
	w.well = time.Now()
	if !w.everReady() {
		close(w.ready)
	}
	w.feed.event(Event{
		Name: w.spec.Name, State: Ready, PID: w.child.pid, Start: w.start, Took: w.well.Sub(w.began),
	})
}

func (w *watch) kill() {
	w.forced = true
	w.child.killGroup()
}

func (w *watch) ended(state *os.ProcessState) ending {
	// A process that was ready for a moment shorter than one poll was ready nevertheless.
	if w.well.IsZero() && w.spec.ReadyFile != "" && w.readyFileThere() {
		w.becameReady()
	}
	end := ending{pid: w.child.pid, exit: exitOf(state, w.forced), asked: w.asked}
	switch {
	case w.asked:
	case w.late && w.everReady() && w.spec.Restart: // like any other death
	case w.late:
		end.failure = w.fail(fmt.Sprintf("was not ready after %s", w.spec.StartTimeout), nil)
	case !w.well.IsZero():
		end.well = time.Since(w.well)
	case !w.everReady():
		end.failure = w.fail(end.exit.String()+" before it was ready", nil)
	}
	return end
}

// launch starts the program and the reading of what it prints.
func (p *Process) launch() (*child, error) {
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer closeAll(stdin)
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer closeAll(outWrite)
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		closeAll(outRead)
		return nil, err
	}
	defer closeAll(errWrite)

	argv := slices.Concat([]string{p.spec.Path}, p.spec.Args)
	attr := &os.ProcAttr{
		Dir: p.spec.Dir, Env: p.spec.Env, Files: []*os.File{stdin, outWrite, errWrite}, Sys: sysProcAttr(),
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would mean our own
	}
	process, err := p.super.startProcess(p.spec.Path, argv, attr)
	if err != nil {
		closeAll(outRead, errRead)
		return nil, err
	}
	c := &child{pid: process.Pid, process: process, guard: p.super.guard, ended: make(chan *os.ProcessState, 1)}
	c.read(outRead, p.spec.MaxLine, func(text string, cut int) { p.printed(text, cut, false) })
	c.read(errRead, p.spec.MaxLine, func(text string, cut int) { p.printed(text, cut, true) })
	go c.wait()
	return c, nil
}

func (p *Process) printed(text string, cut int, stderr bool) {
	p.mu.Lock()
	p.tail.add(text)
	p.mu.Unlock()
	p.feed.line(Line{Name: p.spec.Name, Stderr: stderr, Text: text, Cut: cut})
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // reading ends or the descriptor goes to the child; nothing to be done about a failure
	}
}
