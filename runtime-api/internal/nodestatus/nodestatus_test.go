package nodestatus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// processes are those of the version prices-v1.
type processes struct {
	mu  sync.Mutex
	all []nodestatus.Process
	err error
}

func (p *processes) Processes(version string) ([]nodestatus.Process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if version != "prices-v1" {
		return nil, nil
	}
	return append([]nodestatus.Process(nil), p.all...), p.err
}

func (p *processes) set(all ...nodestatus.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

func model(replica int, state nodestatus.State) nodestatus.Process {
	return nodestatus.Process{State: state, Process: logbook.Process{
		Version: "prices-v1", Name: fmt.Sprintf("estimate.model-%d", replica), Workflow: "Estimate", Node: "Model", Replica: replica,
	}}
}

func TestANodeIsWhatItsReplicasAre(t *testing.T) {
	const stopped, starting, ready, failed = nodestatus.Stopped, nodestatus.Starting, nodestatus.Ready, nodestatus.Failed
	for _, c := range []struct {
		replicas []nodestatus.State
		want     nodestatus.State
	}{
		{[]nodestatus.State{ready, ready}, ready},
		{[]nodestatus.State{ready, starting}, starting},
		{[]nodestatus.State{ready, stopped}, starting},
		{[]nodestatus.State{stopped, stopped}, stopped},
		{[]nodestatus.State{stopped, starting}, starting},
		{[]nodestatus.State{starting, starting}, starting},
		{[]nodestatus.State{ready, failed}, failed},
		{[]nodestatus.State{failed, starting, stopped}, failed},
	} {
		t.Run(fmt.Sprint(c.replicas), func(t *testing.T) {
			observed := new(processes)
			for i, state := range c.replicas {
				observed.all = append(observed.all, model(i, state))
			}
			nodes, err := nodestatus.NewService(observed, nodestatus.Options{}).List(t.Context(), "prices-v1")
			require.NoError(t, err)
			require.Len(t, nodes, 1)
			require.Equal(t, c.want, nodes[0].State)
			require.Len(t, nodes[0].Replicas, len(c.replicas))
			for i, state := range c.replicas {
				require.Equal(t, state, nodes[0].Replicas[i].State)
				require.Equal(t, i, nodes[0].Replicas[i].Index)
			}
		})
	}
}

func TestAFailedReplicaTellsTheNodesReasonAndItsLastLine(t *testing.T) {
	observed := new(processes)
	broken := model(1, nodestatus.Failed)
	broken.Reason, broken.Restarts, broken.Since = "ended with code 1", 4, time.Unix(100, 0)
	for name, c := range map[string]struct{ line, want string }{
		"text":                    {"ValueError: no house", "ValueError: no house"},
		"JSON":                    {`{"level":"error","message":"cannot start","error":"no such file","n":1}`, "cannot start: no such file"},
		"JSON without an error":   {` {"level":"error","message":"cannot start"} `, "cannot start"},
		"JSON that was cut":       {`{"level":"error","message":"cannot start","error":"no file","stack":"Traceback\u00`, "cannot start: no file"},
		"JSON of somebody else":   {`{"msg":"x"}`, `{"msg":"x"}`},
		"what is no text":         {"\xffbroken", "�broken"},
		"nothing":                 {"", ""},
		"a long one, not too far": {strings.Repeat("ü", 400), strings.Repeat("ü", 250) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			broken.LastLogLine = c.line
			observed.set(model(0, nodestatus.Ready), broken)
			nodes, err := nodestatus.NewService(observed, nodestatus.Options{}).List(t.Context(), "prices-v1")
			require.NoError(t, err)
			require.Equal(t, "ended with code 1", nodes[0].Reason)
			require.Equal(t, c.want, nodes[0].LastLogLine)
			require.Empty(t, nodes[0].Replicas[0].Reason)
			require.Equal(t, nodestatus.Replica{Index: 1, State: nodestatus.Failed, Reason: "ended with code 1", LastLogLine: c.want,
				Restarts: 4, Since: time.Unix(100, 0)}, nodes[0].Replicas[1])
		})
	}
}

func TestASlowHandlerIsAWarningUntilItIsOver(t *testing.T) {
	observed := new(processes)
	observed.set(model(0, nodestatus.Ready), model(1, nodestatus.Ready))
	s := nodestatus.NewService(observed, nodestatus.Options{})
	warnings := func(version string) []string {
		nodes, err := s.List(t.Context(), version)
		require.NoError(t, err)
		if len(nodes) == 0 {
			return nil
		}
		return nodes[0].Warnings
	}
	say := func(replica string, requests ...nodestatus.SlowRequest) {
		s.Note("prices-v1", nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: replica, Requests: requests})
	}
	say("a", nodestatus.SlowRequest{ID: "R1", Running: 35 * time.Second})
	say("b", nodestatus.SlowRequest{ID: "R2", Running: 70 * time.Second})
	s.Note("prices-v2", nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: "a", Requests: []nodestatus.SlowRequest{{ID: "R3"}}})
	s.Note("prices-v1", nodestatus.Note{Workflow: "other", Node: "Model", Replica: "a", Requests: []nodestatus.SlowRequest{{ID: "R4"}}})
	require.Equal(t, []string{
		"request R2 runs for 70 s, longer than the workflow's timeout", "request R1 runs for 35 s, longer than the workflow's timeout",
	}, warnings("prices-v1"))
	say("b")
	require.Equal(t, []string{"request R1 runs for 35 s, longer than the workflow's timeout"}, warnings("prices-v1"))
	say("a")
	require.Empty(t, warnings("prices-v1"))

	var many []nodestatus.SlowRequest
	for i := range 8 {
		many = append(many, nodestatus.SlowRequest{ID: fmt.Sprint(i), Running: time.Second})
	}
	say("a", many...)
	require.Len(t, warnings("prices-v1"), 6)
	require.Equal(t, "3 more requests run longer than the workflow's timeout", warnings("prices-v1")[5])
}

func TestANodeWhoseWorkerIsGoneSaysSoUntilThereIsAnother(t *testing.T) {
	observed := new(processes)
	observed.set(model(0, nodestatus.Ready))
	s := nodestatus.NewService(observed, nodestatus.Options{})
	for down, want := range map[string][]string{
		"was ended by signal 11 (segmentation fault)": {"its process was ended by signal 11 (segmentation fault), and is being started again"},
		strings.Repeat("x", 10_000):                   {"its process " + strings.Repeat("x", 500) + "…, and is being started again"},
		"":                                            nil,
	} {
		s.Note("prices-v1", nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: "a", Down: down})
		nodes, err := s.List(t.Context(), "prices-v1")
		require.NoError(t, err)
		require.Equal(t, want, nodes[0].Warnings)
	}
}

func TestAnEntrypointSaysWhyItRefusesRequests(t *testing.T) {
	entrypoint := func(replica int) nodestatus.Process {
		p := model(replica, nodestatus.Ready)
		p.Process = logbook.Process{Name: fmt.Sprintf("entrypoint-%d", replica), Node: "entrypoint", Replica: replica}
		return p
	}
	observed := new(processes)
	observed.set(entrypoint(0), entrypoint(1))
	s := nodestatus.NewService(observed, nodestatus.Options{})
	warnings := func() []string {
		nodes, err := s.List(t.Context(), "prices-v1")
		require.NoError(t, err)
		return nodes[0].Warnings
	}
	say := func(replica, trouble string) {
		s.Note("prices-v1", nodestatus.Note{Workflow: "entrypoint", Node: "entrypoint", Replica: replica, Trouble: trouble})
	}
	const trouble = "requests are refused: the broker stores nothing at present"
	say("a", trouble)
	say("b", trouble)
	require.Equal(t, []string{trouble}, warnings(), "once for all replicas")
	say("a", "")
	require.Equal(t, []string{trouble}, warnings())
	say("b", "")
	require.Empty(t, warnings())
}

func TestWhatAProcessThatIsGoneSaidOfItselfIsForgotten(t *testing.T) {
	observed := new(processes)
	observed.set(model(0, nodestatus.Ready))
	clock := newClock()
	s := nodestatus.NewService(observed, nodestatus.Options{Now: clock.now})
	s.Note("prices-v1", nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: "a", Requests: []nodestatus.SlowRequest{{ID: "R1"}}})
	require.Len(t, list(t, s)[0].Warnings, 1)
	clock.pass(15 * time.Second)
	require.Empty(t, list(t, s)[0].Warnings)
}

func TestAWatcherIsToldWhatChanges(t *testing.T) {
	observed := new(processes)
	s := nodestatus.NewService(observed, nodestatus.Options{Look: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan []nodestatus.Node, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Watch(ctx, "prices-v1", func(nodes []nodestatus.Node) error { told <- nodes; return nil })
	}()
	require.Empty(t, <-told, "first as it is")
	for _, state := range []nodestatus.State{nodestatus.Starting, nodestatus.Ready, nodestatus.Failed, nodestatus.Stopped} {
		observed.set(model(0, state))
		require.Equal(t, state, (<-told)[0].State)
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Empty(t, told, "nothing but changes")

	gone := errors.New("the caller is gone")
	require.ErrorIs(t, s.Watch(t.Context(), "prices-v1", func([]nodestatus.Node) error { return gone }), gone)
}

func TestANameThatNoVersionCanHaveIsRefused(t *testing.T) {
	s := nodestatus.NewService(new(processes), nodestatus.Options{})
	for _, name := range []string{"", "../prices-v1", "Prices", "a/b", "a.b"} {
		_, err := s.List(t.Context(), name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), name)
	}
	nodes, err := s.List(t.Context(), "never-ran")
	require.NoError(t, err)
	require.Empty(t, nodes)
}
