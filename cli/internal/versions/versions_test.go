package versions

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote/remotetest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const prices = "runtimes/prices"

// engine answers as a test says.
type engine struct {
	adminv1.UnimplementedVersionServiceServer
	adminv1.UnimplementedRuntimeServiceServer

	mu         sync.Mutex
	published  string
	activities []*adminv1.Activity // the newest first
	versions   []string
	looks      []*adminv1.Version // what GetVersion answers, one after the other; nil: away
	nodes      []*adminv1.Node
	asked      []proto.Message
	uploaded   bytes.Buffer
	refuse     error
}

func (e *engine) ask(m proto.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, m)
}

func (e *engine) GetRuntime(context.Context, *adminv1.GetRuntimeRequest) (*adminv1.Runtime, error) {
	return &adminv1.Runtime{Name: prices, PublishedVersion: e.published, HttpAddress: "http://here"}, nil
}

// ListActivities answers with one activity a page.
func (e *engine) ListActivities(_ context.Context, request *adminv1.ListActivitiesRequest) (*adminv1.ListActivitiesResponse, error) {
	at := len(request.GetPageToken())
	answer := &adminv1.ListActivitiesResponse{}
	if at < len(e.activities) {
		answer.Activities = e.activities[at : at+1]
		answer.NextPageToken = strings.Repeat("x", at+1)
	}
	return answer, nil
}

func (e *engine) ListVersions(context.Context, *adminv1.ListVersionsRequest) (*adminv1.ListVersionsResponse, error) {
	answer := &adminv1.ListVersionsResponse{}
	for _, name := range e.versions {
		answer.Versions = append(answer.Versions, &adminv1.Version{Name: prices + "/versions/" + name})
	}
	return answer, nil
}

func (e *engine) GetVersion(context.Context, *adminv1.GetVersionRequest) (*adminv1.Version, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.looks[0]
	if len(e.looks) > 1 {
		e.looks = e.looks[1:]
	}
	if now == nil {
		return nil, status.Error(codes.Unavailable, "away")
	}
	return now, nil
}

func (e *engine) ListNodes(context.Context, *adminv1.ListNodesRequest) (*adminv1.ListNodesResponse, error) {
	return &adminv1.ListNodesResponse{Nodes: e.nodes}, nil
}

func (e *engine) SearchLogs(_ context.Context, request *adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error) {
	e.ask(request)
	return nil, status.Error(codes.Unavailable, "no logs now")
}

func (e *engine) StartVersion(_ context.Context, request *adminv1.StartVersionRequest) (*adminv1.Version, error) {
	e.ask(request)
	return &adminv1.Version{Name: request.GetName(), Running: true, State: adminv1.Version_STARTING}, e.refuse
}

func (e *engine) PublishVersion(_ context.Context, request *adminv1.PublishVersionRequest) (*adminv1.Version, error) {
	e.ask(request)
	return &adminv1.Version{Name: request.GetName(), Running: true, Published: true, State: adminv1.Version_PUBLISHED}, e.refuse
}

func (e *engine) CallVersion(_ context.Context, request *adminv1.CallVersionRequest) (*adminv1.CallVersionResponse, error) {
	e.ask(request)
	return &adminv1.CallVersionResponse{Response: structpb.NewStringValue("€"), RequestId: "ID"}, e.refuse
}

func (e *engine) UploadVersion(stream grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]) error {
	if e.refuse != nil {
		return e.refuse
	}
	for first := true; ; first = false {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&adminv1.Version{Name: prices + "/versions/v1", MissingConfig: []string{"A", "B"}, Warnings: []string{"w"}})
		}
		if err != nil {
			return err
		}
		e.uploaded.Write(request.GetChunk())
		if first {
			e.ask(&adminv1.UploadVersionRequest{Parent: request.GetParent(), Comment: request.GetComment()})
		}
	}
}

// serve makes it the engine of the current context.
func (e *engine) serve(t *testing.T) (con *console.Console, out, errs *bytes.Buffer) {
	t.Helper()
	address, _ := remotetest.Serve(t, "", e, e)
	remotetest.Open(t, address)
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	return &console.Console{In: strings.NewReader(""), Out: out, Err: errs}, out, errs
}

func published(versions ...string) []*adminv1.Activity {
	var all []*adminv1.Activity
	for _, name := range versions {
		all = append(all, &adminv1.Activity{Action: "version.publish", Version: prices + "/versions/" + name})
	}
	return all
}

func TestRollingBackPublishesWhatWasPublishedBefore(t *testing.T) {
	tests := map[string]struct {
		now      string
		history  []string // the newest first
		versions []string
		want     string
	}{
		"the one before":                  {"v3", []string{"v3", "v2", "v1"}, []string{"v1", "v2", "v3"}, "v2"},
		"and back again":                  {"v2", []string{"v2", "v3", "v2", "v1"}, []string{"v1", "v2", "v3"}, "v3"},
		"one that is gone does not count": {"v3", []string{"v3", "v2", "v1"}, []string{"v1", "v3"}, "v1"},
		"the last one, if none is now":    {"", []string{"v3", "v2"}, []string{"v2", "v3"}, "v3"},
		"nothing":                         {"v1", []string{"v1", "v1"}, []string{"v1", "v2"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := &engine{activities: published(test.history...), versions: test.versions}
			if test.now != "" {
				e.published = prices + "/versions/" + test.now
			}
			con, out, errs := e.serve(t)
			command := Rollback{}
			command.Comment = "too dear"
			err := command.Run(t.Context(), con)
			if test.want == "" {
				require.ErrorContains(t, err, "there is nothing to go back to")
				require.Empty(t, e.asked)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want+" was published before.\n", errs.String())
			require.Equal(t, "✓ "+test.want+" is published\nHTTP  http://here\n", out.String())
			request, ok := e.asked[0].(*adminv1.PublishVersionRequest)
			require.True(t, ok)
			require.Equal(t, prices+"/versions/"+test.want, request.GetName())
			require.Equal(t, "too dear", request.GetComment())
		})
	}
}

func version(state adminv1.Version_State) *adminv1.Version {
	return &adminv1.Version{Name: prices + "/versions/v1", Running: true, State: state, StateReason: "node a ended"}
}

func TestWaitingShowsEachChangeAndOutlastsAnEngineThatIsAway(t *testing.T) {
	e := &engine{looks: []*adminv1.Version{version(adminv1.Version_STARTING), nil, version(adminv1.Version_UNKNOWN), version(adminv1.Version_STARTED)}}
	con, out, errs := e.serve(t)
	command := Start{}
	command.Name = "v1"
	require.NoError(t, command.Run(t.Context(), con))
	require.Equal(t, "✓ v1 runs\n", out.String())
	require.Contains(t, errs.String(), "v1 STARTING\n")
	require.Contains(t, errs.String(), "; still waiting\n")
	require.Contains(t, errs.String(), "v1 UNKNOWN\n")
}

func TestAVersionThatEndsInErrorIsExplainedEvenWithoutItsLogs(t *testing.T) {
	e := &engine{looks: []*adminv1.Version{version(adminv1.Version_ERROR)}, nodes: []*adminv1.Node{
		{Name: "entrypoint", State: adminv1.Node_READY},
		{Workflow: "w", Name: "a", State: adminv1.Node_FAILED, Reason: "it ended with code 3", LastLogLine: "no\x1b model"},
	}}
	con, out, _ := e.serve(t)
	command := Start{}
	command.Name = "v1"
	require.EqualError(t, command.Run(t.Context(), con), "cannot start v1: node a ended\n  a: it ended with code 3\n    no\\x1b model\n"+
		"The engine goes on trying. kre logs v1 tells more; kre version stop v1 gives it up.")
	require.Empty(t, out)
}

func TestWaitingEndsWhenSomebodyElseWantsSomethingElse(t *testing.T) {
	stopped := version(adminv1.Version_STOPPING)
	stopped.Running = false
	e := &engine{looks: []*adminv1.Version{version(adminv1.Version_STARTING), stopped}}
	con, _, _ := e.serve(t)
	command := Start{}
	command.Name = "v1"
	require.ErrorContains(t, command.Run(t.Context(), con), "somebody else wants something else of v1: it is STOPPING now")
}

func TestWhoDoesNotWaitIsToldHowToGoOn(t *testing.T) {
	e := &engine{}
	con, out, _ := e.serve(t)
	command := Start{}
	command.Name, command.NoWait = "v1", true
	require.NoError(t, command.Run(t.Context(), con))
	require.Equal(t, "v1 is STARTING; kre version watch v1 shows how it goes on\n", out.String())
}

func TestWhoStopsWaitingIsToldThatTheEngineGoesOn(t *testing.T) {
	e := &engine{looks: []*adminv1.Version{version(adminv1.Version_STARTING)}}
	con, _, errs := e.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	con.Err = writerFunc(func(p []byte) (int, error) {
		cancel() // Ctrl-C as soon as there is something to see
		return errs.Write(p)
	})
	command := Start{}
	command.Name = "v1"
	require.ErrorIs(t, command.Run(ctx, con), context.Canceled)
	require.Contains(t, errs.String(), "The engine goes on with it: kre version watch v1\n")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAPackageIsSentWholeInPieces(t *testing.T) {
	e := &engine{}
	con, out, errs := e.serve(t)
	content := bytes.Repeat([]byte("0123456789"), 2*chunkBytes/10+1)
	file := filepath.Join(t.TempDir(), "v1.krt")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	command := Create{Package: file}
	command.Comment = "why not"
	require.NoError(t, command.Run(t.Context(), con))
	require.True(t, bytes.Equal(content, e.uploaded.Bytes()), "what was sent is what is in the file")
	require.True(t, proto.Equal(&adminv1.UploadVersionRequest{Parent: prices, Comment: "why not"}, e.asked[0]))
	require.Equal(t, "✓ version v1 is there\n", out.String())
	require.Equal(t, "warning: w\nBefore it can start: kre version config set v1 A=VALUE B=VALUE\n", errs.String())
}

func TestARefusedPackageIsRefusedInTheEnginesWords(t *testing.T) {
	e := &engine{refuse: status.Error(codes.InvalidArgument, "it is no package")}
	con, _, _ := e.serve(t)
	file := filepath.Join(t.TempDir(), "v1.krt")
	require.NoError(t, os.WriteFile(file, make([]byte, 8<<20), 0o600))
	require.EqualError(t, (&Create{Package: file}).Run(t.Context(), con), "cannot create a version of v1.krt: it is no package")
}

func TestACallTakesItsRequestFromWhereItIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"from": "file"}`), 0o600))
	for argument, want := range map[string]string{`{"from": "line"}`: "line", "@" + file: "file", "-": "input"} {
		e := &engine{}
		con, out, errs := e.serve(t)
		con.In = strings.NewReader(`{"from": "input"}`)
		command := Call{RPC: "Estimate", Request: argument}
		command.Name = "v1"
		require.NoError(t, command.Run(t.Context(), con))
		request, ok := e.asked[0].(*adminv1.CallVersionRequest)
		require.True(t, ok)
		require.Equal(t, want, request.GetRequest().GetStructValue().GetFields()["from"].GetStringValue())
		require.Equal(t, "\"€\"\n", out.String())
		require.Equal(t, "ID\n", errs.String())
	}
}

func TestAnswersForProgramsStayAlone(t *testing.T) {
	e := &engine{looks: []*adminv1.Version{version(adminv1.Version_STARTING), version(adminv1.Version_STARTED)}}
	con, out, _ := e.serve(t)
	command := Start{}
	command.Name, command.Format = "v1", output.Format{Output: "yaml"}
	require.NoError(t, command.Run(t.Context(), con))
	require.True(t, strings.HasPrefix(out.String(), "name: runtimes/prices/versions/v1\n"), out.String())
	require.Contains(t, out.String(), "\nstate: STARTED\n")
}
