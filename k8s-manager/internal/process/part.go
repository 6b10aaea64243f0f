package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/proc"
)

// How processes that fail are started again: those that never were ready ever more seldom, the others soon.
const (
	firstRestart = 100 * time.Millisecond
	lastRestart  = 30 * time.Second
	wellAfter    = 10 * time.Second
)

// Graces: how long processes may take to end when they are asked to.
const (
	apiGrace        = 5 * time.Second
	addressGrace    = 15 * time.Second
	entrypointGrace = 10 * time.Second
	nodeGrace       = 30 * time.Second // a node finishes what it runs
)

// part is a supervised process.
type part struct {
	process *proc.Process
	state   string // file
	stamp   string // of what it is to run with
	first   proc.Record
	asked   bool // to end
}

// startPart starts a process, or takes up the one that its state file tells of. changed is called whenever its record
// may have changed.
func (c *Cluster) startPart(spec proc.Spec, changed func()) *part {
	p := &part{state: spec.Detached.StateFile, stamp: spec.Detached.Stamp}
	p.first = lastRecord(p.state)
	spec.Restart, spec.RestartUnready = true, true
	spec.Backoff = proc.Backoff{First: firstRestart, Max: lastRestart, Well: wellAfter}
	c.mu.Lock()
	c.started++
	// Each has a name of its own: what is told of an earlier start of the same process may come late.
	spec.Name = fmt.Sprintf("%s#%d", spec.Name, c.started)
	c.changed[spec.Name] = changed
	c.mu.Unlock()
	p.process = c.super.Start(spec)
	return p
}

// lastRecord is what a state file says, as far as it is still true.
func lastRecord(stateFile string) proc.Record {
	r, err := proc.ReadRecord(stateFile)
	if err != nil {
		return proc.Record{State: proc.StateStopped} // nothing was started under it, or nobody knows what
	}
	if !r.Runs() && (r.State == proc.StateReady || r.State == proc.StateStarting) {
		r.State, r.PID = proc.StateStarting, 0 // it died while nobody looked, and is started again at once
	}
	return r
}

// record is what is known of the process now.
func (p *part) record() proc.Record {
	if r := p.process.Record(); r.State != "" {
		return r
	}
	r := p.first
	if r.State == proc.StateStopped {
		r.State = proc.StateStarting
	}
	return r
}

func (p *part) ready() bool  { return p != nil && !p.asked && p.record().State == proc.StateReady }
func (p *part) failed() bool { return p != nil && !p.asked && p.record().State == proc.StateFailed }

// runs tells whether there is a process now.
func (p *part) runs() bool { return p.record().PID != 0 }

// mayRun tells whether a process that listens runs, or is about to: one that is not looked after, if its state file says
// so, and else any but one that cannot become ready.
func (p *part) mayRun(stateFile string) bool {
	if p == nil {
		return lastRecord(stateFile).PID != 0
	}
	r := p.record()
	return r.PID != 0 || !r.Unready
}

// stale tells whether it runs, or would, with something else than stamp stands for.
func (p *part) stale(stamp string) bool {
	r := p.record()
	return p.stamp != stamp || r.PID != 0 && r.Stamp != stamp
}

// ended tells whether it has ended for good.
func (p *part) ended() bool {
	select {
	case <-p.process.Done():
		return true
	default:
		return false
	}
}

// end asks the process to end and waits for it; a grace of 0 kills it. When ctx ends first, the process goes on ending.
func (p *part) end(ctx context.Context, grace time.Duration) error {
	p.process.Stop(grace)
	select {
	case <-p.process.Done():
		if errors.Is(p.process.Err(), proc.ErrLookedAfter) { // by one that is just letting go
			return proc.EndRecorded(ctx, p.state, grace)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failure is why a process failed, in words that follow its name.
func failure(r proc.Record) string {
	if line := plainLine(r.LastLogLine); line != "" {
		return r.Reason + ": " + line
	}
	return r.Reason
}

// maxLine is how much of a log line a reason shows, in bytes.
const maxLine = 500

// plainLine is the text of a log line, be it JSON, cut or whole, or not.
func plainLine(line string) string {
	line = strings.TrimSpace(line)
	var structured struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	object := []byte(line)
	if !json.Valid(object) {
		object = log.Mended(line)
	}
	if log.MayBeObject(object) && json.Unmarshal(object, &structured) == nil && structured.Message != "" {
		line = structured.Message
		if structured.Error != "" {
			line += ": " + structured.Error
		}
	}
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}
