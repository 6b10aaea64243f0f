package broker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

func TestWhatProcessesSayOfThemselvesIsNoted(t *testing.T) {
	srv := start(t)
	b := connect(t, srv.ClientURL())
	type note struct {
		version string
		note    nodestatus.Note
	}
	notes := make(chan note, 10)
	require.NoError(t, b.WaitConnected(t.Context()))
	require.NoError(t, b.Notes("*", func(version string, one nodestatus.Note) { notes <- note{version, one} }))
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
		require.Equal(t, note{"prices-v1", nodestatus.Note{Workflow: "estimate", Node: "Model", Replica: "r1"}}, <-notes)
	}
	for _, c := range []struct {
		name, text string
		want       nodestatus.Note
	}{
		{
			"of a node",
			`{"workflow":"estimate","node":"Model","replica_id":"r2","slow":[{"request_id":"R1","message_id":"m","seconds":35.5},{"request_id":"R2","seconds":-1}],"down":"ended with code 1","trouble":"requests are refused","waiting":12,"oldest_seconds":3.4,"expired":41}`,
			nodestatus.Note{
				Workflow: "estimate", Node: "Model", Replica: "r2", Down: "ended with code 1", Trouble: "requests are refused",
				Requests: []nodestatus.SlowRequest{{ID: "R1", Running: 35500 * time.Millisecond}, {ID: "R2"}},
				Load:     nodestatus.Load{Waiting: 12, Oldest: 3400 * time.Millisecond, Expired: 41},
			},
		},
		{
			"of an entrypoint",
			`{"replica_id":"r2","workflows":[{"workflow":"estimate","waiting":12,"oldest_seconds":0.8,"refused":310,"unanswered":5},{}]}`,
			nodestatus.Note{Replica: "r2", Workflows: []nodestatus.WorkflowLoad{
				{Workflow: "estimate", Load: nodestatus.Load{Waiting: 12, Oldest: 800 * time.Millisecond, Refused: 310, Unanswered: 5}}, {},
			}},
		},
		{
			"beyond reason",
			`{"replica_id":"r2","waiting":1e300,"oldest_seconds":1e300,"expired":-3,"refused":0.5,"unanswered":-1e300}`,
			nodestatus.Note{Replica: "r2", Load: nodestatus.Load{Waiting: 1e12, Oldest: 1e9 * time.Second}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, text := range []string{`no JSON`, `{"waiting":NaN}`, `{"waiting":1e999}`, `{"waiting":"12"}`, `{"workflows":{}}`, c.text} {
				require.NoError(t, node.Publish(subject, []byte(text)))
			}
			last := <-notes
			for last.note.Replica == "r1" { // a late one of those above
				last = <-notes
			}
			require.Equal(t, note{"prices-v1", c.want}, last, "the first that can be read")
		})
	}
}
