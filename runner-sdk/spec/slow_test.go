package spec_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// told is what a node tells of its slow handlers.
type told struct {
	Workflow  string `json:"workflow"`
	Node      string `json:"node"`
	ReplicaID string `json:"replica_id"`
	Slow      []struct {
		RequestID string  `json:"request_id"`
		MessageID string  `json:"message_id"`
		Seconds   float64 `json:"seconds"`
	} `json:"slow"`
}

// statuses are what comes on a subject from now on of slow handlers, and that they are over; what else is told is left out.
func (v *version) statuses(subject string) func() told {
	v.t.Helper()
	all, err := v.nc.SubscribeSync(subject)
	require.NoError(v.t, err)
	require.NoError(v.t, v.nc.Flush())
	slow := false
	return func() told {
		v.t.Helper()
		for {
			msg, err := all.NextMsg(patience)
			require.NoError(v.t, err, "a status")
			var one told
			require.NoError(v.t, json.Unmarshal(msg.Data, &one), "%s", msg.Data)
			require.Contains(v.t, string(msg.Data), `"slow"`)
			was := slow
			if slow = len(one.Slow) > 0; slow || was {
				return one
			}
		}
	}
}

func TestHandlerThatRunsLongerThanTheTimeoutIsToldAndKeepsItsMessage(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		node.TimeoutMs = 500
		node.Status = "kre." + node.Version + "._status." + node.Workflow + "." + node.ID
		next := v.statuses(node.Status)
		_, source := v.inbox(node)
		p := l.run(v, node, "untyped").waitReady()
		c := v.caller()
		v.ask(c, node, send("quick"))
		file := filepath.Join(t.TempDir(), "go on")
		m := v.ask(c, node, waitFor(file), send("slow"))
		replica, before := "", 0.5
		// It is told again after some seconds, which is longer than the broker waits for a sign of life.
		for range 2 {
			status := next()
			require.Len(t, status.Slow, 1)
			require.Equal(t, m.RequestID, status.Slow[0].RequestID)
			require.Equal(t, m.ID, status.Slow[0].MessageID)
			require.Greater(t, status.Slow[0].Seconds, before)
			require.Equal(t, node.Workflow, status.Workflow)
			require.Equal(t, node.Node, status.Node)
			require.NotEmpty(t, status.ReplicaID)
			if replica != "" {
				require.Equal(t, replica, status.ReplicaID)
			}
			replica, before = status.ReplicaID, status.Slow[0].Seconds
		}
		require.Zero(t, v.known(source).NumRedelivered)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.Empty(t, next().Slow, "it is over")
		v.settled(node)
		require.Equal(t, map[string]int{"quick": 1, "slow": 1}, v.texts(node.Output.Stream))
		warnings := 0
		for line := range strings.Lines(p.output()) {
			var record struct {
				Level, Message string
				RequestID      string `json:"request_id"`
			}
			if json.Unmarshal([]byte(line), &record) == nil && strings.Contains(record.Message, "longer than the workflow's timeout") {
				require.Equal(t, "warn", record.Level)
				require.Equal(t, m.RequestID, record.RequestID)
				warnings++
			}
		}
		require.GreaterOrEqual(t, warnings, 2, p.output())
		require.Less(t, float64(warnings), 2+before, "at the timeout, and each time that twice the time has passed")
	})
}

func TestSlowHandlerWithoutAStatusSubjectIsToldInTheLogOnly(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		node.TimeoutMs, node.Status = 300, ""
		published, err := v.nc.SubscribeSync("kre.*._status.>")
		require.NoError(t, err)
		p := l.run(v, node, "untyped").waitReady()
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(v.caller(), node, waitFor(file), send("slow"))
		v.eventually(func() bool { return strings.Contains(p.output(), "longer than the workflow's timeout") }, "it is told")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.NoError(t, v.nc.FlushTimeout(patience))
		count, _, err := published.Pending()
		require.NoError(t, err)
		require.Zero(t, count)
	})
}
