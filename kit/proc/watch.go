package proc

import (
	"fmt"
	"os"
	"time"
)

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

// toTheEnd looks after it until it has ended, or is no longer ours to look after.
func (w *watch) toTheEnd() ending {
	poll := time.NewTicker(pollReady)
	defer poll.Stop()
	var startTimeout, kill, lasting <-chan time.Time
	var killAt time.Time
	becomeReady := func() {
		w.becameReady()
		poll.Stop()
		lasting = time.After(w.spec.Backoff.Well - time.Since(w.well))
	}
	switch {
	case !w.well.IsZero(): // it was ready already when it was adopted
		becomeReady()
	case w.spec.ReadyFile == "" || w.readyFileThere():
		w.well = time.Now()
		becomeReady()
	case w.spec.StartTimeout > 0:
		timer := time.NewTimer(w.spec.StartTimeout - time.Since(w.began))
		defer timer.Stop()
		startTimeout = timer.C
	}
	for {
		select {
		case <-poll.C:
			if w.well.IsZero() && w.readyFileThere() {
				w.well = time.Now()
				becomeReady()
			}
		case <-lasting:
			w.note(func(r *Record) { r.Reason, r.LastLogLine, r.Pause = "", "", 0 })
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
					w.child.terminate()
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
		case <-w.released:
			return ending{released: true}
		case state := <-w.child.ended:
			return w.ended(exitOf(state, w.forced))
		}
	}
}

func (w *watch) readyFileThere() bool {
	_, err := os.Stat(w.spec.ReadyFile)
	return err == nil
}

func (w *watch) becameReady() {
	w.note(func(r *Record) { r.become(StateReady, w.well); r.Unready = false })
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

func (w *watch) ended(exit Exit) ending {
	// A process that was ready for a moment shorter than one poll was ready nevertheless.
	if w.well.IsZero() && w.spec.ReadyFile != "" && w.readyFileThere() {
		w.well = time.Now()
		w.becameReady()
	}
	end := ending{pid: w.child.pid, exit: exit, asked: w.asked}
	switch {
	case w.asked:
		return end
	case w.late:
		end.reason, end.unready = fmt.Sprintf("was not ready after %s", w.spec.StartTimeout), true
	case w.well.IsZero():
		end.reason, end.unready = exit.String()+" before it was ready", true
	default:
		end.reason, end.well = exit.String(), time.Since(w.well)
	}
	end.final = w.isFinal(end.unready)
	return end
}
