package engine

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// beAsked has the node answer where requests are.
func (e *engine) beAsked() error {
	if e.node.Questions == "" {
		return nil
	}
	_, err := e.conn.Subscribe(e.node.Questions, func(msg *nats.Msg) {
		requestIDs, is, err := wire.ParseQuestion(wire.AskProgress, msg.Header, msg.Data)
		if err == nil && is && msg.Reply != "" {
			err = e.tellProgress(msg.Reply, requestIDs)
		}
		if err != nil {
			e.log.Write(logline.Record{Level: logline.Warn, Message: "passing over a question", Err: err.Error()})
		}
	})
	return err // it says what it was about
}

func (e *engine) tellProgress(to string, requestIDs []string) error {
	body, err := json.Marshal(e.progress(requestIDs))
	if err != nil {
		return err //nolint:wrapcheck // numbers and text: it does not happen
	}
	return e.conn.Publish(&nats.Msg{Subject: to, Data: body})
}

// progress is what this process knows of some requests.
func (e *engine) progress(requestIDs []string) wire.Progress {
	p := wire.Progress{Node: e.node.Name, Waiting: e.figures().waiting}
	if reason := e.watcher.absent.Load(); reason != nil {
		p.Down = *reason
	}
	wanted := make(map[string]bool, len(requestIDs))
	for _, id := range requestIDs {
		wanted[id] = true
	}
	see := func(d *pull.Delivery, known wire.Known) {
		if known.RequestID = wire.RequestIDIn(d.Header); wanted[known.RequestID] {
			p.Steps = append(p.Steps, known)
		}
	}
	sight, running := e.pull.Look(), e.watcher.running.Load()
	for before, d := range sight.Line {
		if running != nil && running.run.delivery == d {
			see(d, wire.Known{State: wire.Running, Seconds: time.Since(running.began).Round(time.Millisecond).Seconds()})
		} else {
			see(d, wire.Known{State: wire.Queued, Before: before})
		}
	}
	for _, d := range sight.Postponed {
		see(d, wire.Known{State: wire.Retrying})
	}
	for _, d := range sight.Returned {
		see(d, wire.Known{State: wire.Storing})
	}
	p.Steps = append(p.Steps, e.finished.of(requestIDs)...)
	return p
}

// maxFinished is how many runs are remembered, 16 bytes each.
const maxFinished = 16 << 10

// finished remembers of the latest runs what they sent. It costs next to nothing to remember, and a little to look.
type finished struct {
	seed     maphash.Seed
	channels []string // that somebody listens to, in order

	mu   sync.Mutex
	runs []ending // a ring, once it is full
	next int
}

// ending is what a run came to.
type ending struct {
	request uint64 // a hash of its id
	sent    uint64 // a bit for each channel, and those below
}

const (
	failed   = 1 << 63 // an error
	answered = 1 << 62 // the caller was
	manyBit  = 61      // of this channel and all after it
)

// newFinished is for a node that stores there what it sends, nil: nowhere.
func newFinished(output *config.Output) *finished {
	f := &finished{seed: maphash.MakeSeed()}
	if output != nil {
		f.channels = slices.Sorted(maps.Keys(output.Channels))
	}
	return f
}

// channel is the bit of a channel, none if nobody listens to it.
func (f *finished) channel(name string) uint64 {
	i, heard := slices.BinarySearch(f.channels, name)
	if !heard {
		return 0
	}
	return 1 << min(i, manyBit)
}

// add says what a run sent.
func (f *finished) add(of *run, outputs []exchange.Output) {
	var sent uint64
	if of.answered {
		sent = answered
	}
	for _, o := range outputs {
		switch o.Kind {
		case wire.OK:
			sent |= f.channel(o.Channel)
		case wire.Error:
			sent |= failed
		}
	}
	run := ending{request: maphash.String(f.seed, of.input.RequestID), sent: sent}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.runs) < maxFinished {
		f.runs = append(f.runs, run)
		return
	}
	f.runs[f.next] = run
	f.next = (f.next + 1) % maxFinished
}

// of returns the runs of some requests that are remembered, the latest last.
func (f *finished) of(requestIDs []string) []wire.Known {
	wanted := make(map[uint64]string, len(requestIDs))
	for _, id := range requestIDs {
		wanted[maphash.String(f.seed, id)] = id
	}
	var found []wire.Known
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, run := range slices.Concat(f.runs[f.next:], f.runs[:f.next]) {
		if id, asked := wanted[run.request]; asked {
			found = append(found, wire.Known{
				RequestID: id, State: wire.Finished, Channels: f.named(run.sent), Failed: run.sent&failed != 0, Answered: run.sent&answered != 0,
			})
		}
	}
	return found
}

// named are the channels of some bits.
func (f *finished) named(sent uint64) []string {
	var names []string
	for i, name := range f.channels {
		if sent&(1<<min(i, manyBit)) != 0 {
			names = append(names, name)
		}
	}
	return names
}
