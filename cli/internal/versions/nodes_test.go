package versions

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// replicas are so many that are ready.
func replicas(n int) (all []*adminv1.Node_Replica) {
	for range n {
		all = append(all, &adminv1.Node_Replica{State: adminv1.Node_READY})
	}
	return all
}

func oldest(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// printed is what kre version nodes prints.
func printed(t *testing.T, nodes ...*adminv1.Node) string {
	t.Helper()
	e := &engine{nodes: nodes}
	con, out, _ := e.serve(t)
	command := Nodes{}
	command.Name = "v1"
	require.NoError(t, command.Run(t.Context(), con))
	return out.String()
}

func TestNodesOfWhichNothingWaitsSayNothingOfIt(t *testing.T) {
	require.Equal(t, `WORKFLOW  NODE        STATE   READY  RESTARTS  SINCE  WAITING  OLDEST  EXPIRED  WHY
          entrypoint  READY     1/1         0
estimate  model       FAILED    0/0         0                                   it ended
model said last: oh
`, printed(t,
		&adminv1.Node{Name: "entrypoint", State: adminv1.Node_READY, Replicas: replicas(1), Workflows: []*adminv1.WorkflowLoad{{Workflow: "estimate"}}},
		&adminv1.Node{Workflow: "estimate", Name: "model", State: adminv1.Node_FAILED, Reason: "it ended", LastLogLine: "oh"}))
}

func TestNodesTellWhatWaitsExpiresAndIsRefused(t *testing.T) {
	text := printed(t,
		&adminv1.Node{
			Name: "entrypoint", State: adminv1.Node_READY, Replicas: replicas(2), Waiting: 51, Oldest: oldest(900 * time.Millisecond), Refused: 1310,
			Workflows: []*adminv1.WorkflowLoad{
				{Workflow: "estimate", Waiting: 48, Oldest: oldest(900 * time.Millisecond), Expired: 41, Refused: 1310, Unanswered: 12},
				{Workflow: "idle"},
				{Workflow: "learn", Waiting: 3, Oldest: oldest(0)},
			},
			Warnings: []string{"12 calls of workflow estimate ended without an answer in the last minute"},
		},
		&adminv1.Node{Workflow: "estimate", Name: "model", State: adminv1.Node_READY, Replicas: replicas(4), Waiting: 1204, Oldest: oldest(12 * time.Second), Expired: 41},
		&adminv1.Node{Workflow: "learn", Name: "a-node-of-20-letters", State: adminv1.Node_STARTING, Replicas: replicas(1)},
	)
	require.Equal(t, `WORKFLOW  NODE                  STATE     READY  RESTARTS  SINCE  WAITING  OLDEST  EXPIRED  REFUSED
          entrypoint            READY       2/2         0              51  900 ms             1,310
estimate  model                 READY       4/4         0           1,204  12.0 s       41
learn     a-node-of-20-letters  STARTING    1/1         0

WORKFLOW  WAITING  OLDEST  EXPIRED  REFUSED  UNANSWERED
estimate       48  900 ms       41    1,310          12
learn           3    0 ms
warning: entrypoint: 12 calls of workflow estimate ended without an answer in the last minute
`, text)
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "warning: ") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 100)
		}
	}
}

func TestNothingThatANodeSaysActsOnATerminal(t *testing.T) {
	hostile := terminaltest.Hostile()
	failed := version(adminv1.Version_ERROR)
	failed.StateReason = hostile + "\n" + hostile
	e := &engine{looks: []*adminv1.Version{failed}, nodes: []*adminv1.Node{{
		Workflow: hostile, Name: hostile, State: adminv1.Node_FAILED, Reason: hostile + "\n" + hostile, LastLogLine: hostile,
		Warnings: []string{hostile}, Replicas: []*adminv1.Node_Replica{{State: adminv1.Node_FAILED, Reason: hostile}},
	}}}
	con, out, errs := e.serve(t)
	start := Start{}
	start.Name = "v1"
	err := start.Run(t.Context(), con)
	require.ErrorContains(t, err, "begin")
	terminaltest.Harmless(t, err.Error(), false)
	for _, format := range []string{"table", "json", "yaml"} {
		nodes := Nodes{Format: output.Format{Output: format}}
		nodes.Name = "v1"
		require.NoError(t, nodes.Run(t.Context(), con))
	}
	terminaltest.Harmless(t, out.String(), false)
	terminaltest.Harmless(t, errs.String(), false)
}
