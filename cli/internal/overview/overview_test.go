package overview

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote/remotetest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const versions = "runtimes/prices/versions/"

// engine has one runtime.
type engine struct {
	adminv1.UnimplementedRuntimeServiceServer
	adminv1.UnimplementedVersionServiceServer
	nodes map[string][]*adminv1.Node // by version
}

func (*engine) ListRuntimes(context.Context, *adminv1.ListRuntimesRequest) (*adminv1.ListRuntimesResponse, error) {
	return &adminv1.ListRuntimesResponse{Runtimes: []*adminv1.Runtime{{
		Name: "runtimes/prices", State: adminv1.Runtime_READY, PublishedVersion: versions + "prices-v2", HttpAddress: "http://here",
	}}}, nil
}

func (*engine) ListVersions(context.Context, *adminv1.ListVersionsRequest) (*adminv1.ListVersionsResponse, error) {
	return &adminv1.ListVersionsResponse{Versions: []*adminv1.Version{
		{Name: versions + "prices-v4", State: adminv1.Version_STARTING, Running: true},
		{Name: versions + "prices-v3", State: adminv1.Version_ERROR, StateReason: "node a ended"},
		{Name: versions + "prices-v2", State: adminv1.Version_PUBLISHED, Running: true, Published: true},
		{Name: versions + "prices-v1", State: adminv1.Version_STOPPED},
	}}, nil
}

func (e *engine) ListNodes(_ context.Context, request *adminv1.ListNodesRequest) (*adminv1.ListNodesResponse, error) {
	nodes, there := e.nodes[strings.TrimPrefix(request.GetParent(), versions)]
	if !there {
		return nil, status.Error(codes.NotFound, "it has gone")
	}
	return &adminv1.ListNodesResponse{Nodes: nodes}, nil
}

// does is what kre status prints.
func does(t *testing.T, e *engine, format string) string {
	t.Helper()
	address, _ := remotetest.Serve(t, "", e, e)
	remotetest.Open(t, address)
	var out bytes.Buffer
	command := Command{Once: true, Format: output.Format{Output: format}}
	require.NoError(t, command.Run(t.Context(), &console.Console{In: strings.NewReader(""), Out: &out, Err: &out}))
	return out.String()
}

func pressed() *engine {
	return &engine{nodes: map[string][]*adminv1.Node{"prices-v2": {
		{
			Name: "entrypoint", State: adminv1.Node_READY, Waiting: 1048, Oldest: durationpb.New(900 * time.Millisecond), Refused: 310,
			Workflows: []*adminv1.WorkflowLoad{{Workflow: "estimate", Waiting: 1048, Expired: 43, Refused: 310}},
			Warnings:  []string{"workflow estimate refused 310 calls in the last minute"},
		},
		{Workflow: "estimate", Name: "etl", State: adminv1.Node_READY, Waiting: 3, Expired: 2},
		{Workflow: "estimate", Name: "model", State: adminv1.Node_READY, Waiting: 700, Expired: 41},
	}}}
}

func TestStatusTellsWhatWaitsInEachVersionThatRuns(t *testing.T) {
	require.Equal(t, `RUNTIME  STATE  PUBLISHED  ADDRESS      WHY
prices   READY  prices-v2  http://here

RUNTIME  VERSION    STATE      WAITING  OLDEST  REFUSED  EXPIRED  WHY
prices   prices-v4  STARTING
prices   prices-v3  ERROR                                         node a ended
prices   prices-v2  PUBLISHED    1,048  900 ms      310       43

RUNTIME  VERSION    NODE        STATE  RESTARTS  WHY
prices   prices-v2  entrypoint  READY         0  workflow estimate refused 310 calls in the last minute
`, does(t, pressed(), "table"))
}

func TestStatusTellsProgramsOfEntrypointsAsTheAPIHasThem(t *testing.T) {
	type node struct {
		Version string
		Node    struct {
			Name, Waiting, Oldest, Refused string
			Workflows                      []struct{ Workflow, Expired string }
		}
	}
	var all []struct{ Entrypoints, Troubles []node }
	require.NoError(t, json.Unmarshal([]byte(does(t, pressed(), "json")), &all))
	require.Len(t, all, 1)
	require.Len(t, all[0].Entrypoints, 1)
	told := all[0].Entrypoints[0]
	require.Equal(t, versions+"prices-v2", told.Version)
	require.Equal(t, []string{"entrypoint", "1048", "0.900s", "310"}, []string{told.Node.Name, told.Node.Waiting, told.Node.Oldest, told.Node.Refused})
	require.Equal(t, "43", told.Node.Workflows[0].Expired)
	require.Equal(t, all[0].Entrypoints, all[0].Troubles, "it warns")
}
