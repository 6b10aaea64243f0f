package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// maxLogLine bounds the last log line in a record, bytes.
const maxLogLine = 4 << 10

// resave is how often it is tried again to write a record that could not be written.
const resave = time.Second

// errNotHere says that no process can be detached on this system.
var errNotHere = errors.New("processes that outlive their supervisor need Linux")

// resumed is what an earlier supervisor has left, or the beginning where there was none.
type resumed struct {
	start int // which start comes next or runs, from 1

	child       *child // it runs still; nil: nothing does
	began, well time.Time

	ended *ending       // where the last start has ended
	wait  time.Duration // how much of the pause before the next start is left; 0: it has not begun
	pause time.Duration // the one before the last start
}

// resume waits until nobody else looks after the state file, and finds out what runs under it. The lock is the
// supervisor's.
func (p *Process) resume() (*os.File, resumed, error) {
	if !canDetach {
		return nil, resumed{}, errNotHere
	}
	file := p.spec.Detached.StateFile
	if err := makeFolder(file); err != nil {
		return nil, resumed{}, fmt.Errorf("its state cannot be kept: %w", err)
	}
	lock, err := lockFile(p.over, file+".lock")
	if err != nil {
		return nil, resumed{}, fmt.Errorf("its state cannot be kept: %w", err)
	}
	r, err := ReadRecord(file)
	if err != nil { // none, or one that a power cut has torn: the lock of the process tells whether anything runs
		r = Record{}
	}
	from, err := p.resumeFrom(r)
	if err != nil {
		closeAll(lock)
		return nil, resumed{}, err
	}
	return lock, from, nil
}

func (p *Process) resumeFrom(r Record) (resumed, error) {
	from := resumed{start: r.Restarts + 1, pause: r.Pause}
	switch {
	case r.Runs():
		c, err := adopt(r.PID, r.PIDStart)
		switch {
		case err == nil:
			from.child, from.began = c, r.Started
			if r.State == StateReady {
				from.well = r.Since
			}
			p.take(r)
			return from, nil
		case !errors.Is(err, errGone):
			return resumed{}, err
		}
	case r.State == "" || r.State == StateStopped || r.Boot != bootID(), r.PID == 0 && r.Pause == 0:
		return resumed{start: 1}, nil // nothing to go on with
	case r.PID == 0:
		p.take(r)
		from.ended = &ending{exit: Exit{Code: -1, Unknown: true}, unready: r.Unready, reason: r.Reason}
		from.wait = max(time.Until(r.Since.Add(r.Pause)), time.Nanosecond)
		return from, nil
	}
	p.take(r)
	from.ended = &ending{
		pid: r.PID, exit: Exit{Code: -1, Unknown: true}, unready: r.State != StateReady, reason: "ended while nobody looked after it",
	}
	from.ended.final = r.State != StateReady && p.isFinal(true)
	return from, nil
}

// take goes on with the record of an earlier supervisor.
func (p *Process) take(r Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = r
}

// note changes the record and writes it down.
func (p *Process) note(change func(*Record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.record)
	p.save()
}

// save writes the record of a detached process. Where that is not possible now (a full disk, say), it is tried again.
// The caller holds the lock.
func (p *Process) save() {
	if p.spec.Detached == nil {
		return
	}
	if p.again != nil {
		p.again.Stop()
		p.again = nil
	}
	if p.record.write(p.spec.Detached.StateFile) != nil {
		p.again = time.AfterFunc(resave, p.saveAgain)
	}
}

func (p *Process) saveAgain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.again != nil {
		p.save()
	}
}

// saveNoMore leaves the state file to others.
func (p *Process) saveNoMore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.again != nil {
		p.again.Stop()
		p.again = nil
	}
}

// become sets the state, and since when unless it has been the same before.
func (r *Record) become(state string, since time.Time) {
	if r.State != state {
		r.State, r.Since = state, since
	}
}

// started notes that the process runs. One whose last start failed before it was ready stays FAILED until it is ready.
func (p *Process) started(pid, start int, began time.Time) {
	p.note(func(r *Record) {
		r.PID, r.Boot, r.Started, r.Restarts = pid, bootID(), began, start-1
		if p.spec.Detached != nil {
			r.Stamp = p.spec.Detached.Stamp
		}
		if r.Unready {
			r.become(StateFailed, began)
		} else {
			r.become(StateStarting, began)
		}
	})
}

// failed notes why the process has ended and how long it rests before it is started again.
func (p *Process) failed(end ending, pause time.Duration) {
	p.note(func(r *Record) {
		line := ""
		if end.pid != 0 {
			line = p.lastLine(r.LogFrom)
		}
		r.State, r.Since = StateFailed, time.Now()
		r.Reason, r.LastLogLine, r.Pause, r.Unready = end.reason, line, pause, end.unready
		r.PID, r.PIDStart, r.Boot = 0, 0, bootID()
	})
}

// leaveNothing kills what a detached process has left behind outside of its group.
func (p *Process) leaveNothing() {
	if p.spec.Detached == nil {
		return
	}
	if run, err := vacate(p.released, p.spec.Detached.StateFile+".run"); err == nil { // else the next start tries it again
		closeAll(run)
	}
}

// lastLine is the last line with any text that it printed since from. The caller holds the lock.
func (p *Process) lastLine(from int64) string {
	lines := p.tail.all()
	if d := p.spec.Detached; d != nil {
		lines = lastLines(d.LogFile, from, maxLogLine, DefaultLastLines)
	}
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}
