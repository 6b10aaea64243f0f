package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
)

const (
	slowLook = 250 * time.Millisecond // how often the handler that runs is looked at
	slowTell = 5 * time.Second        // how often it is told that it still runs
)

// slowness watches the handler that runs, and says when it takes longer than the workflow's timeout: in the log, and to
// whoever listens for the status of the node.
type slowness struct {
	r       *Runner
	replica string // this process among those of its node
	running atomic.Pointer[attempting]

	// The rest belongs to the watcher.
	slow *attempting // that was told of and not yet told to be over
	told time.Time   // when it was told of last
	warn time.Duration
}

// attempting is a handler that runs.
type attempting struct {
	run   *run
	began time.Time
}

func newSlowness(r *Runner) *slowness { return &slowness{r: r, replica: nuid.Next()} }

func (s *slowness) begin(run *run) { s.running.Store(&attempting{run: run, began: run.began}) }

func (s *slowness) end() { s.running.Store(nil) }

// watch looks until ctx ends.
func (s *slowness) watch(ctx context.Context) {
	ticker := time.NewTicker(slowLook)
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

func (s *slowness) look(now time.Time) {
	running := s.running.Load()
	if s.slow != nil && running != s.slow {
		s.slow = nil
		s.tell(nil, 0)
	}
	if running == nil {
		return
	}
	timeout := s.r.node.Timeout()
	spent := now.Sub(running.began)
	if spent <= timeout {
		return
	}
	if s.slow == nil {
		s.slow, s.told, s.warn = running, time.Time{}, timeout
	}
	if spent >= s.warn {
		s.complain(running, spent, timeout)
		for s.warn <= spent {
			s.warn *= 2
		}
	}
	if now.Sub(s.told) >= slowTell {
		s.told = now
		s.tell(running, spent)
	}
}

func (s *slowness) complain(running *attempting, spent, timeout time.Duration) {
	s.r.log.Write(logline.Record{
		Level: logline.Warn,
		Message: fmt.Sprintf("the handler has been running for %s, longer than the workflow's timeout of %s; its message stays with it",
			spent.Round(100*time.Millisecond), timeout),
		RequestID: running.run.input.RequestID, MessageID: running.run.input.ID,
	})
}

// status is what is told of a node's slow handlers.
type status struct {
	Workflow string     `json:"workflow"`
	Node     string     `json:"node"`
	Replica  string     `json:"replica_id"`
	Slow     []slowItem `json:"slow"`
}

type slowItem struct {
	RequestID string  `json:"request_id"`
	MessageID string  `json:"message_id"`
	Seconds   float64 `json:"seconds"`
}

// tell says what is slow now, or that nothing is. Nobody confirms it, and nothing depends on it.
func (s *slowness) tell(running *attempting, spent time.Duration) {
	node := s.r.node
	if node.Status == "" || !s.r.conn.Connected() {
		return
	}
	told := status{Workflow: node.Workflow, Node: node.Name, Replica: s.replica, Slow: []slowItem{}}
	if running != nil {
		told.Slow = append(told.Slow, slowItem{
			RequestID: running.run.input.RequestID, MessageID: running.run.input.ID, Seconds: spent.Round(time.Millisecond).Seconds(),
		})
	}
	body, err := json.Marshal(told)
	if err == nil {
		err = s.r.conn.Publish(&nats.Msg{Subject: node.Status, Data: body})
	}
	if err != nil {
		s.r.log.Write(logline.Record{Level: logline.Warn, Message: "telling of a slow handler", Err: err.Error()})
	}
}
