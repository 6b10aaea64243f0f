package runtimeclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// runtimeAPI answers as the test wants.
type runtimeAPI struct {
	runtimev1.UnimplementedPackageServiceServer
	runtimev1.UnimplementedLogServiceServer
	runtimev1.UnimplementedNodeServiceServer

	refuse   error
	manifest *runtimev1.PackageManifest
	after    error // the manifest
	received bytes.Buffer
	broken   chan struct{} // closed when an upload has ended before its time
	file     []string      // in chunks
	asked    *runtimev1.SearchLogsRequest
	entries  []*runtimev1.LogEntry
	nodes    []*runtimev1.NodeStatus
}

func (r *runtimeAPI) UploadPackage(stream grpc.BidiStreamingServer[runtimev1.UploadPackageRequest, runtimev1.UploadPackageResponse]) error {
	if r.refuse != nil {
		return r.refuse
	}
	for told := false; ; {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			close(r.broken)
			return err
		}
		r.received.Write(request.GetChunk())
		if !told {
			told = true
			if err := stream.Send(&runtimev1.UploadPackageResponse{Progress: &runtimev1.UploadPackageResponse_Manifest{Manifest: r.manifest}}); err != nil {
				return err
			}
			if r.after != nil {
				return r.after
			}
		}
	}
	return stream.Send(&runtimev1.UploadPackageResponse{Progress: &runtimev1.UploadPackageResponse_Package{
		Package: &runtimev1.Package{Digest: "d", SizeBytes: int64(r.received.Len())},
	}})
}

func (r *runtimeAPI) GetFile(_ *runtimev1.GetFileRequest, stream grpc.ServerStreamingServer[runtimev1.GetFileResponse]) error {
	for _, chunk := range r.file {
		if err := stream.Send(&runtimev1.GetFileResponse{Chunk: []byte(chunk)}); err != nil {
			return err
		}
	}
	return r.refuse
}

func (r *runtimeAPI) ListPackages(context.Context, *runtimev1.ListPackagesRequest) (*runtimev1.ListPackagesResponse, error) {
	return &runtimev1.ListPackagesResponse{Digests: map[string]string{"v2": "b", "v1": "a"}}, r.refuse
}

func (r *runtimeAPI) DeletePackage(context.Context, *runtimev1.DeletePackageRequest) (*runtimev1.DeletePackageResponse, error) {
	return &runtimev1.DeletePackageResponse{}, r.refuse
}

func (r *runtimeAPI) SearchLogs(_ context.Context, request *runtimev1.SearchLogsRequest) (*runtimev1.SearchLogsResponse, error) {
	r.asked = request
	return &runtimev1.SearchLogsResponse{Entries: r.entries, NextPageToken: "more"}, r.refuse
}

func (r *runtimeAPI) TailLogs(_ *runtimev1.TailLogsRequest, stream grpc.ServerStreamingServer[runtimev1.TailLogsResponse]) error {
	for _, entry := range r.entries {
		if err := stream.Send(&runtimev1.TailLogsResponse{Entry: entry}); err != nil {
			return err
		}
	}
	return r.refuse
}

func (r *runtimeAPI) ListNodes(context.Context, *runtimev1.ListNodesRequest) (*runtimev1.ListNodesResponse, error) {
	return &runtimev1.ListNodesResponse{Nodes: r.nodes}, r.refuse
}

// serve returns a client, the address of such a runtime-api, and what ends it.
func serve(t *testing.T, r *runtimeAPI) (client *Client, address string, stop func()) {
	t.Helper()
	r.broken = make(chan struct{})
	server := rpc.NewServer(zap.NewNop(), rpc.Options{})
	runtimev1.RegisterPackageServiceServer(server, r)
	runtimev1.RegisterLogServiceServer(server, r)
	runtimev1.RegisterNodeServiceServer(server, r)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client = New(func(address string) (*grpc.ClientConn, error) { return rpc.Dial(address, rpc.ClientOptions{}) })
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		server.Server.Stop()
		if err := <-served; err != nil {
			require.ErrorIs(t, err, grpc.ErrServerStopped, "it may have been told to end before it began")
		}
	})
	return client, listener.Addr().String(), server.Server.Stop
}

func requireFault(t *testing.T, err error, kind fault.Kind, reason string) fault.Error {
	t.Helper()
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, kind, f.Kind, "%v", err)
	require.Equal(t, reason, f.Reason)
	return *f
}

func accepted(engine.Manifest) error { return nil }

func TestAPackageIsPassedOnWholeAndItsManifestAskedAbout(t *testing.T) {
	r := &runtimeAPI{manifest: &runtimev1.PackageManifest{
		Version: "v1-0-3", DisplayName: "1.0.3", Description: "prices", ConfigVariables: []string{"KEY"}, ConfigFiles: []string{"CERT"},
		Workflows: []*runtimev1.PackageWorkflow{{Name: "w", Rpc: "Estimate", Exitpoint: "n", Nodes: []*runtimev1.PackageNode{
			{Name: "n", Src: "n.py", Subscriptions: []string{"entrypoint"}, Replicas: 2},
		}}},
		Warnings: []*runtimev1.Problem{{Message: "old"}, {Field: "a.b", Message: "odd"}, {Field: "c", Line: 3, Message: "rare"}},
	}}
	client, address, _ := serve(t, r)
	content := strings.Repeat("0123456789", 100_000) // several messages
	var asked engine.Manifest
	stored, err := client.UploadPackage(t.Context(), address, strings.NewReader(content), func(m engine.Manifest) error { asked = m; return nil })
	require.NoError(t, err)
	require.Equal(t, engine.Package{Digest: "d", Size: int64(len(content))}, stored)
	require.Equal(t, content, r.received.String())
	require.Equal(t, engine.Manifest{
		Version: "v1-0-3", DisplayName: "1.0.3", Description: "prices", Variables: []string{"KEY"}, Files: []string{"CERT"},
		Workflows: []engine.Workflow{{Name: "w", RPC: "Estimate", Exitpoint: "n", Nodes: []engine.WorkflowNode{
			{Name: "n", Source: "n.py", Subscriptions: []string{"entrypoint"}, Replicas: 2},
		}}},
		Warnings: []string{"old", "a.b: odd", "c (line 3): rare"},
	}, asked)
}

func TestAPackageThatIsNotAcceptedIsGivenUp(t *testing.T) {
	r := &runtimeAPI{manifest: &runtimev1.PackageManifest{Version: "v1"}}
	client, address, _ := serve(t, r)
	reader, writer := io.Pipe() // a package that has no end
	t.Cleanup(func() { require.NoError(t, writer.Close()) })
	go func() { _, _ = writer.Write([]byte("the beginning")) }()
	taken := fault.New(fault.AlreadyExists, "the name is taken")
	_, err := client.UploadPackage(t.Context(), address, reader, func(engine.Manifest) error { return taken })
	require.Same(t, taken, err)
	<-r.broken // and runtime-api learns of it
}

func TestAPackageThatBreaksOffIsTheErrorOfItsSource(t *testing.T) {
	r := &runtimeAPI{manifest: &runtimev1.PackageManifest{Version: "v1"}}
	client, address, _ := serve(t, r)
	gone := errors.New("the caller has gone")
	reader, writer := io.Pipe()
	go func() { _, _ = writer.Write([]byte("the beginning")) }()
	_, err := client.UploadPackage(t.Context(), address, reader, func(engine.Manifest) error { return writer.CloseWithError(gone) })
	require.ErrorIs(t, err, gone)
	<-r.broken
}

func TestARefusedPackageHasTheReasonOfTheAPI(t *testing.T) {
	manifest := fault.New(fault.Invalid, "1 problem").For("MANIFEST")
	manifest.Fields = []fault.Field{{Path: "version", Message: "it is missing"}}
	for reason, refuse := range map[string]*fault.Error{
		engine.ReasonInvalidManifest: manifest,
		engine.ReasonInvalidPackage:  fault.New(fault.Invalid, "truncated").For("PACKAGE", "entry", "x"),
	} {
		client, address, _ := serve(t, &runtimeAPI{refuse: refuse})
		_, err := client.UploadPackage(t.Context(), address, strings.NewReader("x"), accepted)
		f := requireFault(t, err, fault.Invalid, reason)
		require.Equal(t, refuse.Message, f.Message)
		require.Equal(t, refuse.Fields, f.Fields)
		require.Equal(t, refuse.Metadata, f.Metadata)
	}
}

func TestARuntimeAPIThatIsAwayIsUnavailable(t *testing.T) {
	client, address, stop := serve(t, new(runtimeAPI))
	stop()
	calls := map[string]func(address string) error{
		"upload": func(address string) error {
			_, err := client.UploadPackage(t.Context(), address, strings.NewReader("x"), accepted)
			return err
		},
		"read":   func(address string) error { _, err := client.ReadFile(t.Context(), address, "v1", "x", 1); return err },
		"delete": func(address string) error { return client.DeletePackage(t.Context(), address, "v1") },
		"list":   func(address string) error { _, err := client.ListPackages(t.Context(), address); return err },
		"search": func(address string) error {
			_, err := client.SearchLogs(t.Context(), address, engine.LogQuery{})
			return err
		},
		"tail":  func(address string) error { return client.TailLogs(t.Context(), address, engine.LogQuery{}, nil) },
		"nodes": func(address string) error { _, err := client.ListNodes(t.Context(), address, "v1"); return err },
	}
	for name, call := range calls {
		for _, at := range []string{address, ""} {
			f := requireFault(t, call(at), fault.Unavailable, engine.ReasonUnavailable)
			require.Equal(t, "runtime-api", f.Metadata["service"], name)
			require.NotContains(t, f.Message, "127.0.0.1")
		}
	}
	require.NoError(t, client.Close())
	requireFault(t, calls["list"](address), fault.Unavailable, engine.ReasonUnavailable)
}

func TestAFileIsReadWholeUnlessItIsTooLarge(t *testing.T) {
	r := &runtimeAPI{file: []string{"# Pri", "ces"}}
	client, address, _ := serve(t, r)
	content, err := client.ReadFile(t.Context(), address, "v1", "docs/README.md", 8)
	require.NoError(t, err)
	require.Equal(t, "# Prices", string(content))
	_, err = client.ReadFile(t.Context(), address, "v1", "docs/README.md", 7)
	require.Equal(t, "7", requireFault(t, err, fault.Exhausted, engine.ReasonTooLarge).Metadata["limit_bytes"])
	r.file, r.refuse = nil, fault.New(fault.NotFound, "no such file")
	_, err = client.ReadFile(t.Context(), address, "v1", "docs/README.md", 7)
	require.Equal(t, fault.NotFound, fault.KindOf(err))
}

func TestPackagesAreListedByName(t *testing.T) {
	client, address, _ := serve(t, new(runtimeAPI))
	versions, err := client.ListPackages(t.Context(), address)
	require.NoError(t, err)
	require.Equal(t, []string{"v1", "v2"}, versions)
	require.NoError(t, client.DeletePackage(t.Context(), address, "v1"))
}

func TestASearchAsksForWhatWasAskedAndTellsWhatIsThere(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	fields, err := structpb.NewStruct(map[string]any{"n": 1.0})
	require.NoError(t, err)
	r := &runtimeAPI{entries: []*runtimev1.LogEntry{
		{
			Time: timestamppb.New(at), Level: runtimev1.LogLevel_LOG_LEVEL_WARN, Workflow: "w", Node: "n", Replica: 1, Message: "m",
			RequestId: "01X", Fields: fields,
		},
		{Message: "plain"},
	}}
	client, address, _ := serve(t, r)
	page, err := client.SearchLogs(t.Context(), address, engine.LogQuery{
		Version: "v1", Start: at, End: at.Add(time.Hour), MinLevel: engine.LogError, Nodes: []string{"n"}, Workflow: "w", Text: "t",
		RequestID: "01X", OldestFirst: true, Size: 5, Token: "here",
	})
	require.NoError(t, err)
	require.Equal(t, engine.LogPage{NextToken: "more", Entries: []engine.LogEntry{
		{Time: at, Level: engine.LogWarn, Workflow: "w", Node: "n", Replica: 1, Message: "m", RequestID: "01X", Fields: map[string]any{"n": 1.0}},
		{Level: engine.LogInfo, Message: "plain"},
	}}, page)
	filter := r.asked.GetFilter()
	require.Equal(t, []any{"v1", at, at.Add(time.Hour), runtimev1.LogLevel_LOG_LEVEL_ERROR, []string{"n"}, "w", "t", "01X"}, []any{
		filter.GetVersion(), filter.GetStartTime().AsTime(), filter.GetEndTime().AsTime(), filter.GetMinLevel(), filter.GetNodes(),
		filter.GetWorkflow(), filter.GetText(), filter.GetRequestId(),
	})
	require.Equal(t, []any{int32(5), "here", true}, []any{r.asked.GetPageSize(), r.asked.GetPageToken(), r.asked.GetOldestFirst()})

	_, err = client.SearchLogs(t.Context(), address, engine.LogQuery{})
	require.NoError(t, err)
	require.Nil(t, r.asked.GetFilter().GetStartTime(), "no time is no condition")
	r.refuse = fault.New(fault.Invalid, "what token is that")
	_, err = client.SearchLogs(t.Context(), address, engine.LogQuery{})
	requireFault(t, err, fault.Invalid, engine.ReasonInvalidPageToken)
}

func TestATailTellsLinesUntilItsReaderHasEnoughOrItBreaks(t *testing.T) {
	client, address, _ := serve(t, &runtimeAPI{entries: []*runtimev1.LogEntry{{Message: "one"}, {Message: "two"}}})
	var lines []string
	err := client.TailLogs(t.Context(), address, engine.LogQuery{Last: 2}, func(entry engine.LogEntry) error {
		lines = append(lines, entry.Message)
		return nil
	})
	requireFault(t, err, fault.Unavailable, engine.ReasonUnavailable) // it has no end of its own
	require.Equal(t, []string{"one", "two"}, lines)
	enough := errors.New("enough")
	require.ErrorIs(t, client.TailLogs(t.Context(), address, engine.LogQuery{}, func(engine.LogEntry) error { return enough }), enough)
}

func TestNodesArriveWholeAndAStateOfTomorrowIsUnknown(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	client, address, _ := serve(t, &runtimeAPI{nodes: []*runtimev1.NodeStatus{
		{
			Workflow: "w", Name: "n", State: runtimev1.NodeState_NODE_STATE_FAILED, Reason: "ended", LastLogLine: "oh", Warnings: []string{"slow"},
			Replicas: []*runtimev1.ReplicaStatus{{
				Index: 1, State: runtimev1.NodeState_NODE_STATE_READY, Reason: "r", LastLogLine: "l", Restarts: 3, StateTime: timestamppb.New(at),
			}},
		},
		{
			Name: "entrypoint", State: 77, Waiting: 12, Oldest: durationpb.New(time.Second), Expired: 1, Refused: 310,
			Workflows: []*runtimev1.WorkflowLoad{
				{Workflow: "w", Waiting: 12, Oldest: durationpb.New(time.Second), Expired: 41, Refused: 310, Unanswered: 5}, {Workflow: "idle"},
			},
		},
	}})
	nodes, err := client.ListNodes(t.Context(), address, "v1")
	require.NoError(t, err)
	require.Equal(t, []engine.Node{
		{
			Workflow: "w", Name: "n", State: engine.NodeFailed, Reason: "ended", LastLogLine: "oh", Warnings: []string{"slow"},
			Replicas: []engine.Replica{{Index: 1, State: engine.NodeReady, Reason: "r", LastLogLine: "l", Restarts: 3, StateTime: at}},
		},
		{
			Name: engine.Entrypoint, State: engine.NodeUnknown, Load: engine.Load{Waiting: 12, Oldest: time.Second, Expired: 1, Refused: 310},
			Workflows: []engine.WorkflowLoad{
				{Workflow: "w", Load: engine.Load{Waiting: 12, Oldest: time.Second, Expired: 41, Refused: 310, Unanswered: 5}}, {Workflow: "idle"},
			},
		},
	}, nodes)
}

func TestOneConnectionPerAddressWhichIsClosedWhenNobodyUsesItForLong(t *testing.T) {
	var dialled atomic.Int32
	p := newPool(func(address string) (*grpc.ClientConn, error) {
		dialled.Add(1)
		return rpc.Dial(address, rpc.ClientOptions{})
	})
	first, release, err := p.connection("127.0.0.1:1")
	require.NoError(t, err)
	second, releaseSecond, err := p.connection("127.0.0.1:1")
	require.NoError(t, err)
	require.Same(t, first, second)
	require.EqualValues(t, 1, dialled.Load())
	later := time.Now().Add(2 * unusedLimit)
	release()
	p.sweep(later)
	require.Len(t, p.connections, 1, "somebody uses it")
	releaseSecond()
	p.sweep(time.Now())
	require.Len(t, p.connections, 1, "it was used just now")
	p.sweep(later)
	require.Empty(t, p.connections)
	require.NoError(t, p.close())
}
