package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
)

const (
	versionsEach   = 10
	activitiesEach = 20
)

func runtimeName(r int) string { return fmt.Sprintf("runtime-%04d", r) }

// fill stores runtimes from one number up to another, each with ten versions of ten nodes, of which the last one runs and
// is published, and twenty activities.
func fill(ctx context.Context, store engine.Store, from, to int) error {
	at := time.Now().UTC().Truncate(time.Millisecond)
	for r := from; r < to; r++ {
		ledger := engine.Ledger{
			Name: runtimeName(r), Description: "a runtime among many", CreateTime: at, Revision: activitiesEach,
			ChangeRevision: 1, PublishRevision: activitiesEach, Published: fmt.Sprintf("v%d", versionsEach-1),
		}
		for v := range versionsEach {
			entry := engine.Entry{
				Name: fmt.Sprintf("v%d", v), Upload: "01K0QZ7T3M5V8N2B4C6D9F1G3H", CreateTime: at, CreateRevision: int64(v) + 2,
				Creator: "admin", Revision: int64(v) + 2, Size: 1 << 20,
				Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			}
			if entry.Name == ledger.Published {
				entry.Running, entry.WishRevision = true, ledger.Revision
			}
			ledger.Entries = append(ledger.Entries, entry)
			if err := store.PutDetails(ctx, details(ledger.Name, entry.Key())); err != nil {
				return err
			}
		}
		for a := range activitiesEach {
			if err := store.PutActivity(ctx, engine.Activity{
				Runtime: ledger.Name, Revision: int64(a) + 1, Time: at, Actor: "admin", Action: engine.ActionStartVersion,
				Version: fmt.Sprintf("v%d", a%versionsEach), Comment: "why not",
			}); err != nil {
				return err
			}
		}
		if err := store.CreateLedger(ctx, ledger); err != nil {
			return err
		}
	}
	return nil
}

func details(runtime string, key engine.Key) engine.Details {
	d := engine.Details{Runtime: runtime, Key: key, DisplayName: key.Version, Description: "a version among many", Variables: []string{"API_KEY"}}
	for w := range 2 {
		workflow := engine.Workflow{Name: fmt.Sprintf("workflow-%d", w), RPC: "Estimate", Exitpoint: "n4"}
		for n := range 5 {
			workflow.Nodes = append(workflow.Nodes, engine.WorkflowNode{
				Name: fmt.Sprintf("n%d", n), Source: "src/node/main.py", Subscriptions: []string{"entrypoint"}, Replicas: 1,
			})
		}
		d.Workflows = append(d.Workflows, workflow)
	}
	return d
}
