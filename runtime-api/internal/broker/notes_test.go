package broker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

func TestWhatNodesSayOfSlowHandlersIsNoted(t *testing.T) {
	srv := start(t)
	b := connect(t, srv.ClientURL())
	type note struct {
		version string
		slow    nodestatus.Slow
	}
	notes := make(chan note, 10)
	require.NoError(t, b.WaitConnected(t.Context()))
	require.NoError(t, b.NoteSlow(func(version string, slow nodestatus.Slow) { notes <- note{version, slow} }))
	node, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(node.Close)

	subject := plan.Status("prices-v1") + ".estimate.model"
	for {
		// Until the broker knows who listens.
		require.NoError(t, node.Publish(subject, []byte(`{"workflow":"estimate","node":"Model","replica_id":"r1"}`)))
		require.NoError(t, node.Flush())
		if srv.NumSubscriptions() > 0 && len(notes) > 0 {
			break
		}
	}
	for len(notes) > 0 {
		require.Equal(t, note{"prices-v1", nodestatus.Slow{Workflow: "estimate", Node: "Model", Replica: "r1"}}, <-notes)
	}
	for _, text := range []string{
		`no JSON`,
		`{"workflow":"estimate","node":"Model","replica_id":"r2","slow":[{"request_id":"R1","message_id":"m","seconds":35.5},{"request_id":"R2","seconds":-1}],"down":"ended with code 1","trouble":"requests are refused"}`,
	} {
		require.NoError(t, node.Publish(subject, []byte(text)))
	}
	var last note
	for last = <-notes; last.slow.Replica == "r1"; last = <-notes { // a late one of those above
	}
	require.Equal(t, note{"prices-v1", nodestatus.Slow{Workflow: "estimate", Node: "Model", Replica: "r2", Requests: []nodestatus.SlowRequest{
		{ID: "R1", Running: 35500 * time.Millisecond}, {ID: "R2"},
	}, Down: "ended with code 1", Trouble: "requests are refused"}}, last)
}
