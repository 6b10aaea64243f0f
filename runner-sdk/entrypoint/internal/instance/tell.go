package instance

import (
	"context"
	"encoding/json"
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

// troubled is what an instance says of itself on its status subject.
type troubled struct {
	Workflow string `json:"workflow"`
	Node     string `json:"node"`
	Replica  string `json:"replica_id"`
	Trouble  string `json:"trouble"` // empty: it is over
}

// tell tells what keeps requests from being stored: at once, then again and again, and once when it is over.
func (i *Instance) tell(ctx context.Context) {
	if i.options.Config.Status == "" {
		return
	}
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	told, at := "", time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		trouble := i.trouble()
		if trouble == told && (told == "" || time.Since(at) < tellEach) {
			continue
		}
		told, at = trouble, time.Now()
		text, err := json.Marshal(troubled{
			Workflow: wire.SenderEntrypoint, Node: wire.SenderEntrypoint, Replica: i.id, Trouble: trouble,
		})
		if err == nil {
			err = i.broker.Tell(i.options.Config.Status, text)
		}
		if err != nil {
			i.logger.Debug("telling what is wrong", log.Error(err))
		}
	}
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
