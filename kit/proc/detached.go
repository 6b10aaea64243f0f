package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Detached makes a process outlive its supervisor: it has a session of its own, nothing kills it when the supervisor
// ends or is killed, and what it prints goes into a file by itself. A later supervisor that is given a Spec with the same
// state file finds what runs and goes on looking after it, its restarts and pauses included.
//
// Only one supervisor looks after a state file at a time; another one, of this program or of another, waits for its end.
// No two processes ever run under one state file. Linux only: elsewhere such a process cannot be started.
type Detached struct {
	// StateFile holds the Record, replaced at each change by rename. Beside it lie two lock files, StateFile+".lock" of the
	// supervisor and StateFile+".run" of the process. Folders are made if need be. Required, absolute.
	StateFile string
	// LogFile is appended to by the process itself, standard output and error alike, through all its starts. It is never
	// cut. Required, absolute.
	LogFile string
	// Stamp is kept in the record: what the process was started with, for who wants to know whether that is still right.
	Stamp string
}

// What a Record says about a process.
const (
	StateStarting = "STARTING" // it runs and is not ready yet
	StateReady    = "READY"
	// StateFailed is that of a process that ended without having been asked to or could not be started, from then on until
	// it is started again; and, once a start has failed before it was ready, until one is ready.
	StateFailed  = "FAILED"
	StateStopped = "STOPPED" // it was asked to end, and has
)

// Record is what a state file holds, as JSON.
type Record struct {
	State       string    `json:"state"`
	Reason      string    `json:"reason"`        // why it failed last, e.g. "ended with code 1 before it was ready"; empty once it has been ready for Backoff.Well
	LastLogLine string    `json:"last_log_line"` // the last it printed before it failed; as long as Reason
	Restarts    int       `json:"restarts"`      // since it was asked to run
	Since       time.Time `json:"since"`         // of the state
	PID         int       `json:"pid"`           // 0 while nothing runs
	PIDStart    uint64    `json:"pid_start"`     // when the process began, in the kernel's ticks since it booted; with PID, names it for good
	Boot        string    `json:"boot"`          // of the kernel that these are of
	Stamp       string    `json:"stamp"`         // Detached.Stamp of what runs or ran last

	Started time.Time     `json:"started,omitzero"`   // when the process began
	LogFrom int64         `json:"log_from"`           // where in the log file what it prints begins
	Pause   time.Duration `json:"pause_ns,omitempty"` // the one before its last start, or the one that lasts
	Unready bool          `json:"unready,omitempty"`  // a start has failed before it was ready, and none has been ready since
}

// ReadRecord reads a state file. The error is fs.ErrNotExist where no process was ever started under it.
func ReadRecord(stateFile string) (Record, error) {
	var r Record
	err := r.read(stateFile)
	return r, err
}

// Runs tells whether the process of the record is alive.
func (r Record) Runs() bool { return r.PID != 0 && r.Boot == bootID() && isAlive(r.PID, r.PIDStart) }

// EndRecorded ends what runs under a state file that no supervisor looks after any more, and returns when it has ended:
// it is asked to (SIGTERM) and, after grace, killed with all it started. The record says StateStopped then. It waits for
// a supervisor that still looks after it. Where no supervisor ever was it does nothing; the files stay.
func EndRecorded(ctx context.Context, stateFile string, grace time.Duration) error {
	if _, err := os.Stat(stateFile + ".lock"); errors.Is(err, fs.ErrNotExist) {
		return nil // it is made before anything else
	}
	lock, err := lockFile(ctx.Done(), stateFile+".lock")
	if errors.Is(err, errGaveUp) {
		return fmt.Errorf("end what %s tells of: a supervisor still looks after it: %w", stateFile, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("end what %s tells of: %w", stateFile, err)
	}
	defer closeAll(lock)
	r, err := ReadRecord(stateFile)
	if err != nil {
		r = Record{} // none, or one that a power cut has torn: the lock of the process tells whether anything runs
	}
	if r.Runs() {
		if err := endOrphan(ctx, r, grace); err != nil {
			return fmt.Errorf("end process %d: %w", r.PID, err)
		}
	}
	run, err := vacate(ctx.Done(), stateFile+".run")
	if err != nil {
		return fmt.Errorf("end what %s tells of: %w", stateFile, err)
	}
	defer closeAll(run)
	if r.State == StateStopped {
		return nil
	}
	return r.stopped().write(stateFile)
}

// endOrphan ends a process that somebody else has started.
func endOrphan(ctx context.Context, r Record, grace time.Duration) error {
	c, err := adopt(r.PID, r.PIDStart)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if grace > 0 {
		c.terminate()
	} else {
		c.killGroup()
	}
	kill := time.NewTimer(grace)
	defer kill.Stop()
	for {
		select {
		case <-c.ended:
			return nil
		case <-kill.C:
			c.killGroup()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopped is the record of the same process when it has ended as it was asked to.
func (r Record) stopped() Record {
	return Record{
		State: StateStopped, Restarts: r.Restarts, Since: time.Now(), Stamp: r.Stamp, LogFrom: r.LogFrom,
	}
}
