package processdir

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

var _ nodestatus.Processes = (*Dir)(nil)

var states = map[string]nodestatus.State{
	proc.StateStopped:  nodestatus.Stopped,
	proc.StateStarting: nodestatus.Starting,
	proc.StateReady:    nodestatus.Ready,
	proc.StateFailed:   nodestatus.Failed,
}

// noticed is how long who looks after a process may take to say that it has ended.
const noticed = 100 * time.Millisecond

// Processes implements nodestatus.Processes.
func (d *Dir) Processes(version string) ([]nodestatus.Process, error) {
	planned, err := d.processes(version)
	if err != nil {
		return nil, err
	}
	processes := make([]nodestatus.Process, 0, len(planned))
	waited := false
	for _, process := range planned {
		file := d.path(version, stateDir, process.Name+stateSuffix)
		record, err := proc.ReadRecord(file)
		if err == nil && vanished(record) && !waited {
			time.Sleep(noticed)
			waited = true
			record, err = proc.ReadRecord(file)
		}
		if errors.Is(err, fs.ErrNotExist) {
			record, err = proc.Record{State: proc.StateStopped}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look at process %s of version %s: %w", process.Name, version, err)
		}
		if vanished(record) {
			record.State, record.Reason = proc.StateFailed, "it has ended, and nobody has started it again yet"
		}
		state, ok := states[record.State]
		if !ok {
			return nil, fmt.Errorf("look at process %s of version %s: state %q is none that is known", process.Name, version, record.State)
		}
		processes = append(processes, nodestatus.Process{
			Process: process, State: state, Reason: record.Reason, LastLogLine: record.LastLogLine,
			Restarts: record.Restarts, Since: record.Since,
		})
	}
	return processes, nil
}

// vanished tells whether the record is of a process that runs, and it does not.
func vanished(r proc.Record) bool {
	return (r.State == proc.StateReady || r.State == proc.StateStarting) && !r.Runs()
}
