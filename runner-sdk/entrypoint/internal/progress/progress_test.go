package progress_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/progress"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func step(node string, from ...string) plan.Step {
	s := plan.Step{Node: node, Exitpoint: node == "exit"}
	for _, name := range from {
		if name == "split.side" {
			s.From = append(s.From, plan.Subscription{Node: "split", Channel: "side"})
			continue
		}
		s.From = append(s.From, plan.Subscription{Node: name})
	}
	return s
}

var (
	chain = []plan.Step{step("etl", "entrypoint"), step("model", "etl"), step("exit", "model")}
	// The manifest's order is not that of the graph.
	fork = []plan.Step{step("exit", "left", "right"), step("split", "entrypoint"), step("left", "split"), step("right", "split.side")}
)

// said is what one process of a node says of the request "it".
func said(node string, waiting int64, steps ...wire.Known) wire.Progress {
	for i := range steps {
		if steps[i].RequestID == "" {
			steps[i].RequestID = "it"
		}
	}
	return wire.Progress{Node: node, Waiting: waiting, Steps: steps}
}

func down(node, why string) wire.Progress { return wire.Progress{Node: node, Down: why} }

func finished(channels ...string) wire.Known {
	return wire.Known{State: wire.Finished, Channels: channels}
}

func TestStory(t *testing.T) {
	for name, test := range map[string]struct {
		path []plan.Step
		said []wire.Progress
		want string
	}{
		"nobody says anything": {chain, nil, ""},
		"a handler runs": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 0, wire.Known{State: wire.Running, Seconds: 29.64}), said("exit", 0)},
			"finished: etl; running: model for 29.6s",
		},
		"its turn has not come": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 40, wire.Known{State: wire.Queued, Before: 17}), said("exit", 0)},
			"finished: etl; waiting: model, with 17 before it",
		},
		"its turn is next": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 1, wire.Known{State: wire.Queued}), said("exit", 0)},
			"finished: etl; waiting: model",
		},
		"no process has got it": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 121), said("exit", 0)},
			"finished: etl; waiting: model, with up to 120 before it",
		},
		"it waits at the first node": {
			chain, []wire.Progress{said("etl", 8), said("model", 0), said("exit", 0)},
			"waiting: etl, with up to 7 before it",
		},
		"one of several replicas has it": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 9), said("model", 9, wire.Known{State: wire.Running, Seconds: 1}), said("exit", 0)},
			"finished: etl; running: model for 1s",
		},
		"the worker is down": {
			chain, []wire.Progress{said("etl", 0, finished("")), down("model", "was ended by signal 11"), said("exit", 0)},
			"finished: etl; waiting: model, which was ended by signal 11",
		},
		"one replica is down, and another not": {
			chain, []wire.Progress{said("etl", 0, finished("")), down("model", "was ended by signal 11"), said("model", 3), said("exit", 0)},
			"finished: etl; waiting: model, with up to 2 before it",
		},
		"a node is away": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("exit", 0)},
			"finished: etl; waiting: model, of which no process answers",
		},
		"an attempt has failed": {
			chain, []wire.Progress{said("etl", 0, wire.Known{State: wire.Retrying}), said("model", 0), said("exit", 0)},
			"running: etl, which tries it again",
		},
		"what was sent is not stored": {
			chain, []wire.Progress{said("etl", 0, wire.Known{State: wire.Storing}), said("model", 0), said("exit", 0)},
			"running: etl, which stores what it sent",
		},
		"the exitpoint sends nothing": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 0, finished("")), said("exit", 0, finished())},
			"finished: etl, model, exit, which sent no answer",
		},
		"the exitpoint has just answered": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 0, finished("")), said("exit", 0, wire.Known{State: wire.Finished, Answered: true})},
			"finished: etl, model, exit, whose answer came too late",
		},
		"a node sends nothing": {
			chain, []wire.Progress{said("etl", 0, finished()), said("model", 0), said("exit", 0)},
			"finished: etl, which sent nothing towards the exitpoint",
		},
		"a node sends elsewhere": {
			chain, []wire.Progress{said("etl", 0, finished("audit")), said("model", 0), said("exit", 0)},
			"finished: etl, which sent nothing towards the exitpoint",
		},
		"a node has forgotten it, and a later one has it": {
			chain, []wire.Progress{said("etl", 0), said("model", 0), said("exit", 3, wire.Known{State: wire.Queued, Before: 2})},
			"finished: etl, model; waiting: exit, with 2 before it",
		},
		"an error goes to who subscribes to any channel": {
			chain, []wire.Progress{said("etl", 0, wire.Known{State: wire.Finished, Failed: true}), said("model", 0), said("exit", 0)},
			"finished: etl; waiting: model",
		},
		"one arm waits": {
			fork, []wire.Progress{said("split", 0, finished("", "side")), said("left", 2), said("right", 0, finished("")), said("exit", 0, finished())},
			"finished: exit, which sent no answer, split, right; waiting: left, with up to 1 before it",
		},
		"one arm gets nothing": {
			fork, []wire.Progress{said("split", 0, finished("side")), said("left", 0), said("right", 0, finished("")), said("exit", 1, wire.Known{State: wire.Running, Seconds: 2.5})},
			"finished: split, right; running: exit for 2.5s",
		},
		"another request is not it": {
			chain, []wire.Progress{said("etl", 0, finished("")), said("model", 2, wire.Known{RequestID: "other", State: wire.Running, Seconds: 1}), said("exit", 0)},
			"finished: etl; waiting: model, with up to 1 before it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, progress.Of("it", test.path, test.said).String())
		})
	}
}
