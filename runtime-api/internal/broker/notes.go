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

// slowMessage is what nodes publish of handlers that run longer than their workflow's timeout, and of workers that are gone, and
// an entrypoint of requests that cannot be stored.
type slowMessage struct {
	Workflow string `json:"workflow"`
	Node     string `json:"node"`
	Replica  string `json:"replica_id"`
	Slow     []struct {
		RequestID string  `json:"request_id"`
		Seconds   float64 `json:"seconds"`
	} `json:"slow"`
	Down    string `json:"down"`
	Trouble string `json:"trouble"`
}

// maxSeconds is longer than anything runs.
const maxSeconds = 1e9

// NoteSlow calls note with what the nodes of a version say of slow handlers, from now on until the connection is closed.
// What cannot be read is left out.
func (b *Broker) NoteSlow(note func(version string, slow nodestatus.Slow)) error {
	_, err := b.conn.Subscribe(plan.Status("*")+".>", func(msg *nats.Msg) {
		var message slowMessage
		if json.Unmarshal(msg.Data, &message) != nil {
			return
		}
		slow := nodestatus.Slow{Workflow: message.Workflow, Node: message.Node, Replica: message.Replica, Down: message.Down, Trouble: message.Trouble}
		for _, request := range message.Slow {
			seconds := min(max(request.Seconds, 0), maxSeconds)
			slow.Requests = append(slow.Requests, nodestatus.SlowRequest{
				ID: request.RequestID, Running: time.Duration(seconds * float64(time.Second)),
			})
		}
		note(strings.Split(msg.Subject, ".")[1], slow)
	})
	if err != nil {
		return fmt.Errorf("listen to what nodes say of slow handlers: %w", err)
	}
	return nil
}
