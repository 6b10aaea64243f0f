package spec_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// progress asks the only process of a node where requests are.
func (v *version) progress(node plan.Node, requestIDs ...string) wire.Progress {
	v.t.Helper()
	header, body := wire.Question(wire.AskProgress, requestIDs)
	var answer *nats.Msg
	v.eventually(func() bool {
		var err error
		answer, err = v.nc.RequestMsg(&nats.Msg{Subject: node.Questions, Header: header, Data: body}, patience)
		return err == nil // a process that has just become ready may not be listening yet
	}, "the node answers")
	var p wire.Progress
	require.NoError(v.t, json.Unmarshal(answer.Data, &p))
	return p
}

func TestNodeTellsWhereRequestsAre(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newOperatorVersion(t)
		node := v.node("first")
		p := l.run(v, node, "untyped").waitReady()
		c := v.caller()
		sent := v.ask(c, node, send("one"), map[string]any{"send": "two", "channel": "side"}, map[string]any{"send": "three", "channel": "unheard"})
		silent := v.ask(c, node)
		failing := v.ask(c, node, map[string]any{"final": "no"})
		v.settled(node)
		file := filepath.Join(t.TempDir(), "go on")
		runs := v.ask(c, node, waitFor(file), send("slow"))
		waits := []wire.Message{v.ask(c, node, send("next")), v.ask(c, node, send("after it"))}
		unknown := v.requestID()

		finished := func(m wire.Message, channels ...string) wire.Known {
			return wire.Known{RequestID: m.RequestID, State: wire.Finished, Channels: channels}
		}
		failed := finished(failing)
		failed.Failed = true
		want := []wire.Known{{RequestID: runs.RequestID, State: wire.Running}, finished(sent, "", "side"), finished(silent), failed}
		ask := []string{sent.RequestID, silent.RequestID, failing.RequestID, runs.RequestID, unknown}
		var told wire.Progress
		v.eventually(func() bool {
			told = v.progress(node, ask...)
			return len(told.Steps) == len(want) && told.Steps[0].State == wire.Running
		}, "the node has all of them")
		require.Equal(t, node.Node, told.Node)
		require.Empty(t, told.Down)
		before := told.Steps[0].Seconds
		told.Steps[0].Seconds = 0
		require.Equal(t, want, told.Steps)
		v.eventually(func() bool { return v.progress(node, runs.RequestID).Steps[0].Seconds > before }, "the time goes on")
		v.eventually(func() bool { return v.progress(node).Waiting == 2 }, "two wait")
		for _, known := range v.progress(node, waits[1].RequestID).Steps { // none if the process holds only the one before it
			require.Equal(t, wire.Known{RequestID: waits[1].RequestID, State: wire.Queued, Before: 2}, known)
		}
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.Equal(t, []wire.Known{finished(runs, "")}, v.progress(node, runs.RequestID).Steps)
		require.NotContains(t, strings.ToLower(p.output()), complaint)
	})
}

func TestNodeTellsThatAnotherAttemptFollows(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		node.MaxAttempts = 1000
		l.run(v, node, "untyped").waitReady()
		m := v.ask(v.caller(), node, map[string]any{"fail": "no"})
		// Between two attempts it waits for up to five seconds.
		v.eventually(func() bool {
			told := v.progress(node, m.RequestID)
			return len(told.Steps) == 1 && told.Steps[0].State == wire.Retrying
		}, "it tells so")
	})
}

func TestNodePassesOverWhatIsNoQuestion(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		l.run(v, node, "untyped").waitReady()
		v.progress(node)
		ended, ids := wire.Question(wire.AskEnded, []string{v.requestID()})
		ask, _ := wire.Question(wire.AskProgress, nil)
		for _, msg := range []*nats.Msg{
			{Data: []byte("nonsense")}, {Header: ended, Data: ids}, {Header: ask, Data: []byte("nonsense")},
		} {
			msg.Subject = node.Questions
			_, err := v.nc.RequestMsg(msg, 50*time.Millisecond)
			require.ErrorIs(t, err, nats.ErrTimeout)
		}
		require.Empty(t, v.progress(node, v.requestID()).Steps, "it still answers")
	})
}
