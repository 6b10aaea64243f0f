package broker

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// noteMessage is what processes of a version publish of themselves: nodes of handlers that run longer than their workflow's
// timeout, of workers that are gone, and of messages that wait; an entrypoint of requests that cannot be stored, and of calls
// that wait. Anything may be absent. Numbers are read as they come, and then brought within reason.
type noteMessage struct {
	Workflow string `json:"workflow"`
	Node     string `json:"node"`
	Replica  string `json:"replica_id"`
	Slow     []struct {
		RequestID string  `json:"request_id"`
		Seconds   float64 `json:"seconds"`
	} `json:"slow"`
	Down    string `json:"down"`
	Trouble string `json:"trouble"`
	loadMessage
	Workflows []struct {
		Workflow string `json:"workflow"`
		loadMessage
	} `json:"workflows"`
}

// loadMessage is what waits, and what was counted since the process started.
type loadMessage struct {
	Waiting       float64 `json:"waiting"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Expired       float64 `json:"expired"`
	Refused       float64 `json:"refused"`
	Unanswered    float64 `json:"unanswered"`
}

func (m loadMessage) load() nodestatus.Load {
	return nodestatus.Load{
		Waiting: number(m.Waiting), Oldest: duration(m.OldestSeconds), Expired: number(m.Expired), Refused: number(m.Refused),
		Unanswered: number(m.Unanswered),
	}
}

const (
	maxSeconds = 1e9  // longer than anything runs
	maxNumber  = 1e12 // more than anything counts
)

func duration(seconds float64) time.Duration {
	return time.Duration(min(max(seconds, 0), maxSeconds) * float64(time.Second))
}

func number(n float64) int64 { return int64(min(max(n, 0), maxNumber)) }

func (m noteMessage) note() nodestatus.Note {
	note := nodestatus.Note{
		Workflow: m.Workflow, Node: m.Node, Replica: m.Replica, Down: m.Down, Trouble: m.Trouble, Load: m.load(),
	}
	for _, request := range m.Slow {
		note.Requests = append(note.Requests, nodestatus.SlowRequest{ID: request.RequestID, Running: duration(request.Seconds)})
	}
	for _, workflow := range m.Workflows {
		note.Workflows = append(note.Workflows, nodestatus.WorkflowLoad{Workflow: workflow.Workflow, Load: workflow.load()})
	}
	return note
}

// What may wait to be read of what the processes of a version say of themselves; more is dropped, and told again.
const (
	maxNotes     = 10_000
	maxNoteBytes = 4 << 20
)

// Notes calls each with what the processes of a version say of themselves, from now on until the connection is closed; of all
// versions where it is "*". What cannot be read is left out.
func (b *Broker) Notes(version string, each func(version string, note nodestatus.Note)) error {
	told, err := b.conn.Subscribe(plan.Status(version)+".>", func(msg *nats.Msg) {
		var message noteMessage
		if json.Unmarshal(msg.Data, &message) == nil {
			each(strings.Split(msg.Subject, ".")[1], message.note())
		}
	})
	if err == nil {
		err = told.SetPendingLimits(maxNotes, maxNoteBytes)
	}
	if err != nil {
		return fmt.Errorf("listen to what nodes say of themselves: %w", err)
	}
	return nil
}
