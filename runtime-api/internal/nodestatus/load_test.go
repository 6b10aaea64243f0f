package nodestatus_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// clock is a time that passes when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func list(t *testing.T, s *nodestatus.Service) []nodestatus.Node {
	t.Helper()
	nodes, err := s.List(t.Context(), "prices-v1")
	require.NoError(t, err)
	return nodes
}

// entrypoint, the two nodes of Estimate, and the one of Learn.
const (
	entrypoint = iota
	etlNode
	modelNode
	learnNode
)

// pressed is a service whose version prices-v1 has two workflows. It has been there for long.
func pressed() (*nodestatus.Service, *clock) {
	process := func(name, workflow, node string) nodestatus.Process {
		return nodestatus.Process{State: nodestatus.Ready, Process: logbook.Process{Version: "prices-v1", Name: name, Workflow: workflow, Node: node}}
	}
	observed := new(processes)
	observed.set(process("entrypoint-0", "", "entrypoint"), process("estimate.etl-0", "Estimate", "Etl"),
		process("estimate.model-0", "Estimate", "Model"), process("learn.model-0", "Learn", "Model"))
	clock := newClock()
	s := nodestatus.NewService(observed, nodestatus.Options{Now: clock.now})
	clock.pass(time.Hour)
	return s, clock
}

func ofNode(replica string, load nodestatus.Load) nodestatus.Note {
	return nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: replica, Load: load}
}

func ofEntrypoint(replica string, loads ...nodestatus.WorkflowLoad) nodestatus.Note {
	return nodestatus.Note{Workflow: "entrypoint", Node: "entrypoint", Replica: replica, Workflows: loads}
}

func workflow(name string, load nodestatus.Load) nodestatus.WorkflowLoad {
	return nodestatus.WorkflowLoad{Workflow: name, Load: load}
}

func TestWhatWaitsForANodeIsWhatItsReplicasSaidLast(t *testing.T) {
	s, clock := pressed()
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Waiting: 12, Oldest: 3 * time.Second}))
	clock.pass(time.Second)
	s.Note("prices-v1", ofNode("b", nodestatus.Load{Waiting: 9, Oldest: 2 * time.Second}))
	s.Note("prices-v2", ofNode("b", nodestatus.Load{Waiting: 100, Oldest: time.Minute}))
	nodes := list(t, s)
	require.Equal(t, nodestatus.Load{Waiting: 9, Oldest: 3 * time.Second}, nodes[modelNode].Load, "the newest number, and the longest time")
	for _, other := range []int{entrypoint, etlNode, learnNode} {
		require.Zero(t, nodes[other].Load)
	}

	clock.pass(time.Second)
	s.Note("prices-v1", ofNode("a", nodestatus.Load{}))
	require.Zero(t, list(t, s)[modelNode].Load, "none waits, whatever another one said before")
}

func TestWhatWaitsAtAnEntrypointIsAddedUp(t *testing.T) {
	s, _ := pressed()
	s.Note("prices-v1", ofEntrypoint("a", workflow("estimate", nodestatus.Load{Waiting: 12, Oldest: time.Second, Refused: 300, Unanswered: 5}),
		workflow("learn", nodestatus.Load{Waiting: 1, Oldest: 2 * time.Second})))
	s.Note("prices-v1", ofEntrypoint("b", workflow("estimate", nodestatus.Load{Waiting: 30, Oldest: 3 * time.Second, Refused: 10}),
		workflow("unknown", nodestatus.Load{Waiting: 1000})))
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Expired: 41}))
	s.Note("prices-v1", nodestatus.Note{Workflow: "estimate", Node: "Etl", Replica: "a", Load: nodestatus.Load{Expired: 1}})
	node := list(t, s)[entrypoint]
	require.Equal(t, nodestatus.Load{Waiting: 43, Oldest: 3 * time.Second, Refused: 310, Unanswered: 5}, node.Load, "the nodes tell themselves what expired")
	require.Equal(t, []nodestatus.WorkflowLoad{
		workflow("Estimate", nodestatus.Load{Waiting: 42, Oldest: 3 * time.Second, Expired: 42, Refused: 310, Unanswered: 5}),
		workflow("Learn", nodestatus.Load{Waiting: 1, Oldest: 2 * time.Second}),
	}, node.Workflows, "as the manifest writes them, and no others")
}

func TestAWorkflowThatAnEntrypointSaysNothingOfAnyMoreHasNothingThatWaits(t *testing.T) {
	s, clock := pressed()
	s.Note("prices-v1", ofEntrypoint("a", workflow("estimate", nodestatus.Load{Waiting: 12, Refused: 3}), workflow("learn", nodestatus.Load{Waiting: 1})))
	s.Note("prices-v1", ofEntrypoint("b", workflow("estimate", nodestatus.Load{Waiting: 1})))
	clock.pass(time.Second)
	s.Note("prices-v1", ofEntrypoint("a"))
	require.Equal(t, []nodestatus.WorkflowLoad{workflow("Estimate", nodestatus.Load{Waiting: 1, Refused: 3})}, list(t, s)[entrypoint].Workflows)
}

func TestWhatWasCountedStaysCountedOverRestartsAndNeverBecomesLess(t *testing.T) {
	s, clock := pressed()
	expired := func(replica string, n int64) int64 {
		s.Note("prices-v1", ofNode(replica, nodestatus.Load{Waiting: 3, Oldest: time.Second, Expired: n}))
		return list(t, s)[modelNode].Expired
	}
	require.EqualValues(t, 41, expired("a", 41))
	require.EqualValues(t, 41, expired("a", 41), "said again")
	require.EqualValues(t, 43, expired("a", 43))
	require.EqualValues(t, 43, expired("a", 0))
	require.EqualValues(t, 43, expired("a", 5), "it cannot have become less")
	require.EqualValues(t, 44, expired("a", 44))
	require.EqualValues(t, 54, expired("b", 10), "another process")
	clock.pass(time.Hour)
	require.Equal(t, nodestatus.Load{Expired: 54}, list(t, s)[modelNode].Load, "nobody says any more that anything waits")
	require.EqualValues(t, 55, expired("b", 11))
	require.EqualValues(t, 57, expired("c", 2))

	s.Forget("prices-v2")
	require.EqualValues(t, 57, expired("c", 2))
	s.Forget("prices-v1")
	require.Zero(t, list(t, s)[modelNode].Load)
}

func TestWhatWaitsIsForgottenWhenItsProcessSaysNothingForLong(t *testing.T) {
	s, clock := pressed()
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Waiting: 12, Oldest: 3 * time.Second, Expired: 1}))
	s.Note("prices-v1", ofEntrypoint("a", workflow("estimate", nodestatus.Load{Waiting: 2, Oldest: time.Second, Refused: 1})))
	clock.pass(15*time.Second - 1)
	require.EqualValues(t, 12, list(t, s)[modelNode].Waiting)
	require.EqualValues(t, 2, list(t, s)[entrypoint].Waiting)
	clock.pass(1)
	require.Equal(t, nodestatus.Load{Expired: 1}, list(t, s)[modelNode].Load)
	require.Equal(t, []nodestatus.WorkflowLoad{workflow("Estimate", nodestatus.Load{Expired: 1, Refused: 1})}, list(t, s)[entrypoint].Workflows)
}

func TestAVersionUnderPressureSaysSo(t *testing.T) {
	s, clock := pressed()
	for name, c := range map[string]struct {
		note nodestatus.Note
		of   int
		want []string
	}{
		"calls refused": {
			ofEntrypoint("1", workflow("estimate", nodestatus.Load{Waiting: 48, Oldest: 900 * time.Millisecond, Refused: 310})), entrypoint,
			[]string{"workflow Estimate refused 310 calls in the last minute: they could not have been answered in time; 48 wait, the oldest for 0.9 s"},
		},
		"one call refused": {
			ofEntrypoint("2", workflow("estimate", nodestatus.Load{Waiting: 1, Oldest: 9 * time.Second, Refused: 1})), entrypoint,
			[]string{"workflow Estimate refused 1 call in the last minute: it could not have been answered in time; 1 waits, for 9.0 s"},
		},
		"calls without an answer, and others refused": {
			ofEntrypoint("3", workflow("learn", nodestatus.Load{Unanswered: 12, Refused: 1200300})), entrypoint,
			[]string{
				"workflow Learn refused 1,200,300 calls in the last minute: they could not have been answered in time",
				"12 calls of workflow Learn ended without an answer in the last minute",
			},
		},
		"one call without an answer": {
			ofEntrypoint("4", workflow("learn", nodestatus.Load{Unanswered: 1})), entrypoint,
			[]string{"1 call of workflow Learn ended without an answer in the last minute"},
		},
		"messages expired": {
			ofNode("5", nodestatus.Load{Expired: 41}), modelNode,
			[]string{"41 messages expired in the last minute: their callers had gone before it was their turn"},
		},
		"one message expired": {
			ofNode("6", nodestatus.Load{Expired: 1}), modelNode,
			[]string{"1 message expired in the last minute: its caller had gone before it was its turn"},
		},
		"messages that wait for long": {
			ofNode("7", nodestatus.Load{Waiting: 1204, Oldest: 12 * time.Second}), modelNode,
			[]string{"1,204 messages wait, the oldest for 12 s"},
		},
		"one message that waits for long": {
			ofNode("8", nodestatus.Load{Waiting: 1, Oldest: 5 * time.Second}), modelNode,
			[]string{"1 message waits, for 5.0 s"},
		},
		"messages that wait":     {ofNode("9", nodestatus.Load{Waiting: 1204, Oldest: 5*time.Second - 1}), modelNode, nil},
		"calls that wait":        {ofEntrypoint("10", workflow("learn", nodestatus.Load{Waiting: 1204, Oldest: time.Minute})), entrypoint, nil},
		"nothing, and a trouble": {nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: "11", Trouble: "oh"}, modelNode, []string{"oh"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Note("prices-v1", c.note)
			for of, node := range list(t, s) {
				if of == c.of {
					require.Equal(t, c.want, node.Warnings)
				} else {
					require.Empty(t, node.Warnings)
				}
			}
			clock.pass(time.Minute)
			for _, node := range list(t, s) {
				require.Empty(t, node.Warnings, "it is over")
			}
		})
	}
}

func TestWarningsCountTheLastMinuteOnly(t *testing.T) {
	s, clock := pressed()
	const warning = "%d messages expired in the last minute: their callers had gone before it was their turn"
	total := int64(0)
	for i := range 30 { // 2 in each second, told every 5 s
		total += 10
		s.Note("prices-v1", ofNode("a", nodestatus.Load{Expired: total}))
		require.Equal(t, []string{fmt.Sprintf(warning, min(total, 120))}, list(t, s)[modelNode].Warnings, i)
		clock.pass(5 * time.Second)
	}
	clock.pass(40 * time.Second)
	require.Equal(t, []string{fmt.Sprintf(warning, 30)}, list(t, s)[modelNode].Warnings)
	clock.pass(15 * time.Second)
	require.Empty(t, list(t, s)[modelNode].Warnings)
	clock.pass(24 * time.Hour)
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Expired: total + 3}))
	require.Equal(t, []string{fmt.Sprintf(warning, 3)}, list(t, s)[modelNode].Warnings)
	require.Equal(t, total+3, list(t, s)[modelNode].Expired)
}

func TestWhatWasCountedBeforeAnybodyListenedIsNotOfTheLastMinute(t *testing.T) {
	observed := new(processes)
	observed.set(model(0, nodestatus.Ready))
	clock := newClock()
	s := nodestatus.NewService(observed, nodestatus.Options{Now: clock.now})
	clock.pass(5 * time.Second)
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Expired: 1000}))
	require.EqualValues(t, 1000, list(t, s)[0].Expired)
	require.Empty(t, list(t, s)[0].Warnings)
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Expired: 1002}))
	require.Equal(t, []string{"2 messages expired in the last minute: their callers had gone before it was their turn"}, list(t, s)[0].Warnings)
}

func TestWhatAHostileVersionSaysCostsItselfOnly(t *testing.T) {
	s, clock := pressed()
	hostile := func(version string) {
		for i := range 2000 {
			name := fmt.Sprint(i)
			s.Note(version, nodestatus.Note{Workflow: name, Node: name, Replica: name, Load: nodestatus.Load{Waiting: 1, Expired: 1}})
		}
		var loads []nodestatus.WorkflowLoad
		for i := range 10_000 {
			loads = append(loads, workflow(fmt.Sprint(i), nodestatus.Load{Waiting: 1, Refused: 1}))
		}
		s.Note(version, ofEntrypoint("a", loads...))
		long := strings.Repeat("x", 10_000)
		s.Note(version, nodestatus.Note{Workflow: long, Node: long, Replica: long, Load: nodestatus.Load{Waiting: 1}})
		s.Note(version, ofEntrypoint("a", workflow(long, nodestatus.Load{Waiting: 1})))
	}
	hostile("mallory-v1")
	s.Note("prices-v1", ofNode("a", nodestatus.Load{Waiting: 3, Expired: 41}))
	require.Equal(t, nodestatus.Load{Waiting: 3, Expired: 41}, list(t, s)[modelNode].Load)

	hostile("prices-v1")
	nodes := list(t, s)
	require.Len(t, nodes, 4)
	require.Len(t, nodes[entrypoint].Workflows, 1, "it has no other workflows")
	require.EqualValues(t, 41, nodes[modelNode].Expired)
	clock.pass(15 * time.Second)
	s.Note("prices-v1", ofNode("b", nodestatus.Load{Waiting: 4, Expired: 1}))
	require.Equal(t, nodestatus.Load{Waiting: 4, Expired: 42}, list(t, s)[modelNode].Load, "there is room again")

	for i := range 20 {
		hostile(fmt.Sprintf("mallory-v%d", i))
	}
	s.Forget("mallory-v3")
	s.Note("prices-v1", ofEntrypoint("a", workflow("estimate", nodestatus.Load{Waiting: 1, Refused: 2})))
	require.Equal(t, []nodestatus.WorkflowLoad{workflow("Estimate", nodestatus.Load{Waiting: 1, Expired: 42, Refused: 2})}, list(t, s)[entrypoint].Workflows)
}

func TestCountsBeyondReasonAreAsLargeAsCountsGet(t *testing.T) {
	s, _ := pressed()
	const most = 1_000_000_000_000
	for i := range 500 {
		s.Note("prices-v1", ofNode(fmt.Sprint(i), nodestatus.Load{Expired: most}))
		s.Note("prices-v1", ofEntrypoint(fmt.Sprint(i), workflow("estimate", nodestatus.Load{Waiting: most, Refused: most})))
	}
	nodes := list(t, s)
	require.EqualValues(t, most, nodes[modelNode].Expired)
	require.Equal(t, []string{"1,000,000,000,000 messages expired in the last minute: their callers had gone before it was their turn"}, nodes[modelNode].Warnings)
	require.EqualValues(t, most, nodes[entrypoint].Refused)
	require.Positive(t, nodes[entrypoint].Waiting)
	s.Note("prices-v1", ofNode("x", nodestatus.Load{Waiting: -1, Oldest: -1, Expired: -5}))
	require.EqualValues(t, most, list(t, s)[modelNode].Expired)
}

func TestManySlowRequestsOfManyProcessesAreCounted(t *testing.T) {
	s, _ := pressed()
	for replica := range 3 {
		note := ofNode(fmt.Sprint(replica), nodestatus.Load{})
		for i := range 1000 {
			note.Requests = append(note.Requests, nodestatus.SlowRequest{ID: fmt.Sprint(replica, "-", i), Running: time.Duration(i) * time.Second})
		}
		s.Note("prices-v1", note)
	}
	warnings := list(t, s)[modelNode].Warnings
	require.Len(t, warnings, 6)
	require.Equal(t, "request 0-999 runs for 999 s, longer than the workflow's timeout", warnings[0])
	require.Equal(t, "2995 more requests run longer than the workflow's timeout", warnings[5])
	require.True(t, slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, "request 2-999 ") }))
}
