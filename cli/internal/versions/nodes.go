package versions

import (
	"context"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Nodes is `kre version nodes`.
type Nodes struct {
	Named
	output.Format
}

// Help is shown below the flags.
func (*Nodes) Help() string {
	return `Examples:
  kre version nodes prices-v2
  kre version nodes prices-v2 -o json | jq '.[] | select(.state != "READY")'
  kre version nodes prices-v2 -o json | jq '.[0].workflows'

WAITING is how many messages wait for a node, or calls for an answer at the entrypoint, and OLDEST how long the oldest of them
has. EXPIRED are messages that a node dropped because their callers had gone, REFUSED calls that the entrypoint did not take
because they could not have been answered in time, UNANSWERED calls whose time was over; all are counted since the runtime's
own service started. What is empty is 0.`
}

// Run prints the nodes.
func (n *Nodes) Run(ctx context.Context, con *console.Console) error {
	e, name, err := n.open()
	if err != nil {
		return err
	}
	defer e.Close()
	all, err := nodes(ctx, e, name)
	if err != nil {
		return err
	}
	if n.Structured() {
		return output.Messages(n.Format, con.Out, all)
	}
	p := con.Printer()
	nodesTable(p, all).Print()
	for _, node := range all {
		if loads := loadsTable(p, node); loads != nil {
			p.Line("")
			loads.Print()
		}
	}
	for _, node := range all {
		for _, warning := range node.GetWarnings() {
			p.Line("%s %s: %s", p.Paint(look.Yellow, "warning:"), terminal.Clean(node.GetName()), terminal.Clean(warning))
		}
		if line := node.GetLastLogLine(); line != "" && node.GetState() == adminv1.Node_FAILED {
			p.Line("%s said last: %s", terminal.Clean(node.GetName()), terminal.Clean(line))
		}
	}
	return nil
}

// nodesTable has a row for each node. There is little room, so that where nothing was refused or is wrong there is no column
// for it.
func nodesTable(p look.Printer, all []*adminv1.Node) *output.Table {
	table := output.NewTable(p, "WORKFLOW", "NODE", "STATE", "READY", "RESTARTS", "SINCE", "WAITING", "OLDEST", "EXPIRED", "REFUSED", "WHY").
		Right(3, 4, 6, 7, 8, 9).Optional(9, 10)
	for _, node := range all {
		ready, restarts := 0, int32(0)
		since := ""
		for _, replica := range node.GetReplicas() {
			if replica.GetState() == adminv1.Node_READY {
				ready++
			}
			restarts += replica.GetRestarts()
			since = output.Age(replica.GetStateTime())
		}
		table.Row(output.Plain("%s", node.GetWorkflow()), output.Plain("%s", node.GetName()), output.NodeState(node.GetState()),
			output.Plain("%d/%d", ready, len(node.GetReplicas())), output.Plain("%d", restarts), output.Plain("%s", since),
			output.Number(node.GetWaiting()), output.Waited(node.GetOldest()), output.Number(node.GetExpired()),
			output.Number(node.GetRefused()), output.Plain("%s", node.GetReason()))
	}
	return table
}

// loadsTable has a row for each workflow of which a node, which is an entrypoint then, has something to tell; nil: there is none.
func loadsTable(p look.Printer, node *adminv1.Node) *output.Table {
	table := output.NewTable(p, "WORKFLOW", "WAITING", "OLDEST", "EXPIRED", "REFUSED", "UNANSWERED").Right(1, 2, 3, 4, 5)
	told := false
	for _, w := range node.GetWorkflows() {
		if w.GetWaiting() != 0 || w.GetExpired() != 0 || w.GetRefused() != 0 || w.GetUnanswered() != 0 {
			told = true
			table.Row(output.Plain("%s", w.GetWorkflow()), output.Number(w.GetWaiting()), output.Waited(w.GetOldest()),
				output.Number(w.GetExpired()), output.Number(w.GetRefused()), output.Number(w.GetUnanswered()))
		}
	}
	if !told {
		return nil
	}
	return table
}
