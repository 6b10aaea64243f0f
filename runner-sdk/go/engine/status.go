package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

const (
	statusLook = 250 * time.Millisecond // how often the handler that runs is looked at
	statusTell = 5 * time.Second        // how often is told what has been told before
	statusNews = time.Second            // how often figures are told that have changed
)

// watcher watches the node, and tells whoever listens for its status: when the handler that runs takes longer than the
// workflow's timeout, which is logged too; when there is nobody to run it; how many messages wait, and how many expired.
type watcher struct {
	e       *engine
	replica string // this process among those of its node
	running atomic.Pointer[attempting]
	absent  atomic.Pointer[string] // why there is nobody; nil: there is

	// The rest belongs to the watcher.
	slow    *attempting // that was told of and not yet told to be over
	gone    *string     // likewise
	figures figures     // that were told last
	told    time.Time   // when something was told last
	warn    time.Duration
}

// attempting is a handler that runs.
type attempting struct {
	run   *run
	began time.Time
}

func newWatcher(e *engine) *watcher { return &watcher{e: e, replica: nuid.Next()} }

func (s *watcher) begin(run *run) { s.running.Store(&attempting{run: run, began: run.began}) }

// end says that the handler of run has ended, unless another one has begun already.
func (s *watcher) end(run *run) {
	if running := s.running.Load(); running != nil && running.run == run {
		s.running.CompareAndSwap(running, nil)
	}
}

// watch looks until ctx ends.
func (s *watcher) watch(ctx context.Context) {
	ticker := time.NewTicker(statusLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.look(now)
		}
	}
}

// down says why there is nobody to run handlers, or, with no reason, that there is again.
func (s *watcher) down(reason string) {
	if reason == "" {
		s.absent.Store(nil)
		return
	}
	s.absent.Store(&reason)
}

func (s *watcher) look(now time.Time) {
	running, absent := s.running.Load(), s.absent.Load()
	over := s.slow != nil && running != s.slow || s.gone != absent
	if s.slow != running {
		s.slow = nil
	}
	var spent time.Duration
	if running != nil {
		spent = now.Sub(running.began)
	}
	timeout := s.e.node.Timeout()
	if running != nil && spent > timeout {
		if s.slow == nil {
			s.slow, s.told, s.warn = running, time.Time{}, timeout
		}
		if spent >= s.warn {
			s.complain(running, spent, timeout)
			for s.warn <= spent {
				s.warn *= 2
			}
		}
	}
	s.gone = absent
	figures := s.e.figures()
	age := now.Sub(s.told)
	if over || figures != s.figures && age >= statusNews ||
		(s.slow != nil || s.gone != nil || figures.some()) && age >= statusTell {
		s.told, s.figures = now, figures
		s.tell(spent)
	}
}

func (s *watcher) complain(running *attempting, spent, timeout time.Duration) {
	s.e.log.Write(logline.Record{
		Level: logline.Warn,
		Message: fmt.Sprintf("the handler has been running for %s, longer than the workflow's timeout of %s; its message stays with it",
			spent.Round(100*time.Millisecond), timeout),
		RequestID: running.run.input.RequestID, MessageID: running.run.input.ID,
	})
}

// status is what is told of a node: its slow handlers, why it handles nothing, and its figures.
type status struct {
	Workflow string     `json:"workflow"`
	Node     string     `json:"node"`
	Replica  string     `json:"replica_id"`
	Slow     []slowItem `json:"slow"`
	Down     string     `json:"down,omitempty"`
	Waiting  int64      `json:"waiting"`
	Oldest   float64    `json:"oldest_seconds"`
	Expired  uint64     `json:"expired"`
}

type slowItem struct {
	RequestID string  `json:"request_id"`
	MessageID string  `json:"message_id"`
	Seconds   float64 `json:"seconds"`
}

// tell says what is slow now, for so long, or that nothing is. Nobody confirms it, and nothing depends on it.
func (s *watcher) tell(spent time.Duration) {
	node := s.e.node
	if node.Status == "" || !s.e.conn.Connected() {
		return
	}
	told := status{
		Workflow: node.Workflow, Node: node.Name, Replica: s.replica, Slow: []slowItem{},
		Waiting: s.figures.waiting, Oldest: s.figures.oldest.Seconds(), Expired: s.figures.expired,
	}
	if s.slow != nil {
		told.Slow = append(told.Slow, slowItem{
			RequestID: s.slow.run.input.RequestID, MessageID: s.slow.run.input.ID, Seconds: spent.Round(time.Millisecond).Seconds(),
		})
	}
	if s.gone != nil {
		told.Down = *s.gone
	}
	body, err := json.Marshal(told)
	if err == nil {
		err = s.e.conn.Publish(&nats.Msg{Subject: node.Status, Data: body})
	}
	if err != nil {
		s.e.log.Write(logline.Record{Level: logline.Warn, Message: "telling of the node's state", Err: err.Error()})
	}
}
