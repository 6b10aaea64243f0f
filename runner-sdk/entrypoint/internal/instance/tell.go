package instance

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	lookEach = 500 * time.Millisecond
	tellEach = 5 * time.Second // what has been told already
)

// status is what an instance says of itself on its status subject.
type status struct {
	Workflow string `json:"workflow"`
	Node     string `json:"node"`
	Replica  string `json:"replica_id"`
	Trouble  string `json:"trouble"` // empty: there is none, or it is over
	Loads    []load `json:"workflows"`
}

// load is what waits at a workflow; refused and unanswered count since the instance was started.
type load struct {
	Workflow   string  `json:"workflow"` // mapped name
	Waiting    int     `json:"waiting"`
	Oldest     float64 `json:"oldest_seconds"`
	Refused    uint64  `json:"refused"`
	Unanswered uint64  `json:"unanswered"`
}

// tell tells what waits, and what keeps requests from being stored: what is new at once or after a second, then again and
// again, and once when it is over.
func (i *Instance) tell(ctx context.Context) {
	if i.options.Config.Status == "" {
		return
	}
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	told, at := i.nothing(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := i.status()
		switch age := time.Since(at); {
		case now.Trouble != told.Trouble:
		case reflect.DeepEqual(now, told) && (reflect.DeepEqual(now, i.nothing()) || age < tellEach):
			continue
		case age < 2*lookEach: // figures change all the time
			continue
		}
		told, at = now, time.Now()
		text, err := json.Marshal(now)
		if err == nil {
			err = i.broker.Tell(i.options.Config.Status, text)
		}
		if err != nil {
			i.logger.Debug("telling how things are", log.Error(err))
		}
	}
}

// nothing is the status of an instance at which nothing is the matter.
func (i *Instance) nothing() status {
	s := status{Workflow: wire.SenderEntrypoint, Node: wire.SenderEntrypoint, Replica: i.id}
	for _, workflow := range i.options.Config.Workflows {
		s.Loads = append(s.Loads, load{Workflow: workflow.ID})
	}
	return s
}

// status is how things are now.
func (i *Instance) status() status {
	s := i.nothing()
	s.Trouble = i.trouble()
	for n, workflow := range i.options.Config.Workflows {
		l := i.exchange.Load(workflow.Subject)
		s.Loads[n] = load{
			Workflow: workflow.ID, Waiting: l.Waiting, Oldest: l.Oldest.Round(time.Millisecond).Seconds(),
			Refused: l.Refused, Unanswered: l.Unanswered,
		}
	}
	return s
}

// trouble is one sentence about all workflows.
func (i *Instance) trouble() string {
	var all []string
	for _, workflow := range i.options.Config.Workflows {
		if text := i.exchange.Trouble(workflow.Subject); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
