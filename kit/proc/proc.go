// Package proc supervises processes of this machine: it starts each in a process group of its own, keeps what it
// prints, knows when it is ready, starts it again when it dies, and ends it with everything it started. It knows nothing
// of what the processes do, and keeps no state on disk but for those that outlive it: see Detached.
package proc

import (
	"fmt"
	"strings"
	"time"
)

// What a zero value in a Spec or a Backoff stands for.
const (
	DefaultGrace = 10 * time.Second
	// DefaultMaxLine has room for a JSON object with texts of 256 KiB, however their characters are escaped.
	DefaultMaxLine   = 2 << 20
	DefaultLastLines = 20
)

// Spec says what to run and how to look after it.
type Spec struct {
	Name string   // told to the observer, and in errors
	Path string   // program; not looked up in PATH
	Args []string // without the program's own name
	Dir  string
	Env  []string // KEY=VALUE, the whole environment: nothing is inherited

	// ReadyFile is removed before each start; the process is ready as soon as it exists. Without one a process is ready
	// once it runs.
	ReadyFile string
	// StartTimeout is how long a process may take to become ready before it is killed; 0 is for ever.
	StartTimeout time.Duration
	// Restart says whether a process that was ready once is started again whenever it ends without having been asked to.
	// One that ends before it was ever ready is not, unless RestartUnready is set: then it is tried again whatever happens,
	// also where it was not ready in time or could not be started at all.
	Restart        bool
	RestartUnready bool
	Backoff        Backoff

	// Detached makes it outlive its supervisor. nil: it is killed with it.
	Detached *Detached

	MaxLine   int // bytes of a line that are kept; the rest is cut off and counted
	LastLines int // how many lines Tail keeps; fewer where they are longer than 2 MiB together
}

// Backoff is the pause before a process is started again: First, doubling to Max, and First again after a process has
// been ready for Well. Zero values are 0.1 s, 2 s and 10 s.
type Backoff struct {
	First, Max, Well time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.First <= 0 {
		b.First = 100 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 2 * time.Second
	}
	if b.Well <= 0 {
		b.Well = 10 * time.Second
	}
	return b
}

// next is the pause that follows the pause last (0: there was none) of a process that was ready for well.
func (b Backoff) next(last, well time.Duration) time.Duration {
	if last == 0 || well >= b.Well {
		return b.First
	}
	return min(2*last, b.Max)
}

// State is a stage in the life of a process.
type State int

// The states, in the order in which a process passes through them.
const (
	Starting State = iota + 1 // it runs and is not ready yet
	Ready                     // its ready file is there
	Stopping                  // it was asked to end
	Exited                    // it ended; Event.Exit tells how, and Event.Next says when it is started again
	Ended                     // it ended and is not started again; the last event of a process
)

// String is the state in lower case.
func (s State) String() string {
	names := [...]string{Starting: "starting", Ready: "ready", Stopping: "stopping", Exited: "exited", Ended: "ended"}
	if s < Starting || s > Ended {
		return fmt.Sprintf("state %d", int(s))
	}
	return names[s]
}

// Event is a change of state.
type Event struct {
	Name  string
	State State
	PID   int           // 0 where the process could not be started
	Start int           // how often it has been started, from 1
	Took  time.Duration // Ready: since its start
	Exit  Exit          // Exited, Ended
	Asked bool          // Exited, Ended: it had been asked to end
	Next  time.Duration // Exited: the pause before it is started again
	Err   error         // Exited, Ended: why, a *Failure, unless it was asked to
}

// Line is one line that a process printed, without its end.
type Line struct {
	Name   string
	Stderr bool
	Text   string
	Cut    int // bytes that were cut off
	// Lost is how many lines before this one were dropped because the observer was too slow.
	Lost int
}

// Observer is told what happens. Calls for one process come in order and one at a time, those for several processes at
// the same time. A slow observer never slows a process: past 10,000 waiting lines, or 8 MiB of them, the oldest are dropped
// and counted.
// What a detached process prints is not told: it is in its file.
type Observer interface {
	Changed(Event)
	Printed(Line)
}

// Failure says why a process ended although nobody asked it to, or did not become ready.
type Failure struct {
	Name   string
	Reason string   // e.g. "ended with code 1 before it was ready"
	Tail   []string // the last lines it printed
	Cause  error    // where it could not be started at all, or ErrLookedAfter
}

// Error names the process and the reason; the lines are not in it.
func (f *Failure) Error() string { return fmt.Sprintf("%s %s", f.Name, f.Reason) }

// Unwrap is the error of the operating system, if that was the reason.
func (f *Failure) Unwrap() error { return f.Cause }

// Lines is the tail as one text, each line indented by prefix.
func (f *Failure) Lines(prefix string) string {
	var b strings.Builder
	for _, line := range f.Tail {
		b.WriteString(prefix)
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
