package proc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// pollReady is how often the ready file is looked for; drain is how long after the end of a process its output is read
// on for (somebody it started may have left the group and still hold the pipe).
const (
	pollReady = 10 * time.Millisecond
	drain     = time.Second
)

// Process is one supervised program, through all its starts.
type Process struct {
	spec     Spec
	super    *Supervisor
	feed     *feed
	stop     chan time.Duration
	ready    chan struct{}
	done     chan struct{}
	over     chan struct{} // closed when it was asked to end or is released
	released chan struct{} // closed when it is no longer ours to look after
	release  func()
	endWaits func()

	mu      sync.Mutex
	tail    *tail
	pid     int
	record  Record
	again   *time.Timer // where the record could not be written; nil: it is
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
	p := &Process{
		spec: spec, super: s, feed: newFeed(s.observer), tail: newTail(spec.LastLines),
		stop: make(chan time.Duration, 1), ready: make(chan struct{}), done: make(chan struct{}),
		over: make(chan struct{}), released: make(chan struct{}),
	}
	p.endWaits = sync.OnceFunc(func() { close(p.over) })
	p.release = sync.OnceFunc(func() { close(p.released); p.endWaits() })
	return p
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
	if p.spec.Detached != nil {
		return lastLines(p.spec.Detached.LogFile, 0, p.spec.MaxLine, p.spec.LastLines)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail.all()
}

// Record is what there is to know about it now; of a detached process it is what its state file says or is about to say.
func (p *Process) Record() Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record
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
	p.endWaits()
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
	from := resumed{start: 1}
	if p.spec.Detached != nil {
		lock, found, err := p.resume()
		if err != nil {
			p.neverOurs(err)
			return
		}
		defer closeAll(lock)
		defer p.saveNoMore()
		from = found
	}
	pause, wait := from.pause, from.wait
	for start := from.start; ; start++ {
		var end ending
		if from.ended != nil {
			end = *from.ended
		} else {
			end = p.once(start, from)
		}
		from = resumed{}
		if end.released || end.asked || end.final {
			p.end(start, end)
			return
		}
		if wait == 0 {
			pause = p.spec.Backoff.next(pause, end.well)
			wait = pause
			p.failed(end, pause)
		}
		event := Event{
			Name: p.spec.Name, State: Exited, PID: end.pid, Start: start, Exit: end.exit, Next: wait, Err: p.fail(end.reason, end.cause),
		}
		p.feed.event(event)
		if end, over := p.rest(wait); over {
			p.end(start, end)
			return
		}
		wait = 0
	}
}

// rest waits before the next start. over: there will be none.
func (p *Process) rest(wait time.Duration) (end ending, over bool) {
	select {
	case <-time.After(wait):
		return ending{}, false
	case <-p.stop:
		return ending{asked: true, exit: Exit{Code: -1}}, true
	case <-p.released:
		return ending{released: true}, true
	}
}

// end tells that the process has ended for good.
func (p *Process) end(start int, end ending) {
	event := Event{Name: p.spec.Name, State: Ended, PID: end.pid, Start: start, Exit: end.exit, Asked: end.asked}
	switch {
	case end.released:
		event.Err = p.setFailure("is no longer looked after", nil)
	case end.asked:
		p.leaveNothing()
		p.note(func(r *Record) { *r = r.stopped() })
	default:
		p.failed(end, 0)
		event.Err = p.setFailure(end.reason, end.cause)
	}
	p.feed.event(event)
}

// ErrLookedAfter is the cause of a Failure of a detached process that another supervisor looked after until this one was asked
// to end it, or released it: nothing was ended. EndRecorded waits for the other one, and ends it.
var ErrLookedAfter = errors.New("another supervisor looks after it")

// neverOurs ends the looking after a detached process before it has begun. Its files are not ours to write.
func (p *Process) neverOurs(err error) {
	reason, cause := "cannot be started: "+err.Error(), err
	if errors.Is(err, errGaveUp) {
		reason, cause = "is still looked after by another supervisor", ErrLookedAfter
	}
	failure := p.setFailure(reason, cause)
	p.feed.event(Event{Name: p.spec.Name, State: Ended, Start: 1, Exit: Exit{Code: -1}, Err: failure})
}

func (p *Process) setFailure(reason string, cause error) *Failure {
	failure := p.fail(reason, cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = failure
	return failure
}

// ending is how one start of a process ended.
type ending struct {
	pid      int
	exit     Exit
	asked    bool
	released bool          // it goes on, and is no longer ours
	well     time.Duration // how long it was ready
	unready  bool          // it never was
	reason   string        // why, where nobody asked it to
	cause    error
	final    bool // it must not be started again
}

func (p *Process) fail(reason string, cause error) *Failure {
	return &Failure{Name: p.spec.Name, Reason: reason, Tail: p.Tail(), Cause: cause}
}

// isFinal tells whether a process that has ended by itself must not be started again.
func (p *Process) isFinal(unready bool) bool {
	return !p.spec.Restart || unready && !p.everReady() && !p.spec.RestartUnready
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

// once starts the process, or takes up one that runs, and looks after it until it has ended.
func (p *Process) once(start int, from resumed) ending {
	w := watch{Process: p, child: from.child, start: start, began: from.began, well: from.well}
	if w.child == nil {
		w.began = time.Now()
		if p.spec.ReadyFile != "" {
			if err := os.Remove(p.spec.ReadyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return p.neverRan(err)
			}
		}
		var err error
		if w.child, err = p.launch(); err != nil {
			return p.neverRan(err)
		}
		p.started(w.child.pid, start, w.began)
	}
	p.setPID(w.child.pid)
	defer p.setPID(0)
	p.feed.event(Event{Name: p.spec.Name, State: Starting, PID: w.child.pid, Start: start})
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
	end := ending{exit: Exit{Code: -1}, unready: true, reason: "cannot be started: " + err.Error(), cause: err}
	if errors.Is(err, errGaveUp) {
		select {
		case <-p.released:
			end.released = true
		default:
			end.asked = true
		}
	}
	end.final = p.isFinal(true)
	return end
}
