package managerclient

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

// manager answers as the test wants and remembers what it was told.
type manager struct {
	managerv1.UnimplementedLifecycleServiceServer
	refuse error
	told   []any
	status *managerv1.RuntimeStatus
	watch  func(grpc.ServerStreamingServer[managerv1.WatchResponse]) error
}

func (m *manager) ApplyRuntime(_ context.Context, r *managerv1.ApplyRuntimeRequest) (*managerv1.ApplyRuntimeResponse, error) {
	m.told = append(m.told, []any{r.GetRuntime(), r.GetRevision(), r.GetPublishedVersion()})
	return &managerv1.ApplyRuntimeResponse{}, m.refuse
}

func (m *manager) ApplyVersion(_ context.Context, r *managerv1.ApplyVersionRequest) (*managerv1.ApplyVersionResponse, error) {
	m.told = append(m.told, engine.VersionWish{
		Runtime: r.GetRuntime(), Version: r.GetVersion(), Revision: r.GetRevision(), Digest: r.GetDigest(), Running: r.GetRunning(),
		Discard: r.GetDiscard(), Variables: r.GetVariables(), Files: r.GetFiles(),
	})
	return &managerv1.ApplyVersionResponse{}, m.refuse
}

func (m *manager) DeleteRuntime(_ context.Context, r *managerv1.DeleteRuntimeRequest) (*managerv1.DeleteRuntimeResponse, error) {
	m.told = append(m.told, r.GetRuntime())
	return &managerv1.DeleteRuntimeResponse{}, m.refuse
}

func (m *manager) DeleteVersion(_ context.Context, r *managerv1.DeleteVersionRequest) (*managerv1.DeleteVersionResponse, error) {
	m.told = append(m.told, r.GetRuntime()+"/"+r.GetVersion())
	return &managerv1.DeleteVersionResponse{}, m.refuse
}

func (m *manager) GetRuntime(context.Context, *managerv1.GetRuntimeRequest) (*managerv1.GetRuntimeResponse, error) {
	return &managerv1.GetRuntimeResponse{Status: m.status}, m.refuse
}

func (m *manager) Watch(_ *managerv1.WatchRequest, stream grpc.ServerStreamingServer[managerv1.WatchResponse]) error {
	return m.watch(stream)
}

// serve returns a client of such a manager, and what ends it.
func serve(t *testing.T, m *manager) (*Client, func()) {
	t.Helper()
	server := rpc.NewServer(zap.NewNop(), rpc.Options{})
	managerv1.RegisterLifecycleServiceServer(server, m)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := rpc.Dial(listener.Addr().String(), rpc.ClientOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Server.Stop()
		if err := <-served; err != nil {
			require.ErrorIs(t, err, grpc.ErrServerStopped, "it may have been told to end before it began")
		}
	})
	return New(conn), server.Server.Stop
}

func requireAway(t *testing.T, err error) {
	t.Helper()
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, fault.Unavailable, f.Kind)
	require.Equal(t, engine.ReasonUnavailable, f.Reason)
	require.Equal(t, "k8s-manager", f.Metadata["service"])
	require.NotContains(t, f.Message, "127.0.0.1")
}

func TestAWishArrivesWhole(t *testing.T) {
	m := new(manager)
	client, _ := serve(t, m)
	wish := engine.VersionWish{
		Runtime: "prod", Version: "v1", Revision: 7, Digest: "d", Running: true, Discard: true,
		Variables: map[string]string{"KEY": "x"}, Files: map[string][]byte{"CERT": []byte("y")},
	}
	require.NoError(t, client.ApplyRuntime(t.Context(), engine.RuntimeWish{Runtime: "prod", Revision: 6, Published: "v1"}))
	require.NoError(t, client.ApplyVersion(t.Context(), wish))
	require.NoError(t, client.DeleteVersion(t.Context(), "prod", "v1"))
	require.NoError(t, client.DeleteRuntime(t.Context(), "prod"))
	require.Equal(t, []any{[]any{"prod", int64(6), "v1"}, wish, "prod/v1", "prod"}, m.told)
}

func TestAnErrorKeepsItsKind(t *testing.T) {
	m := new(manager)
	client, stop := serve(t, m)
	for _, kind := range []fault.Kind{fault.Conflict, fault.NotFound, fault.Precondition} {
		m.refuse = fault.New(kind, "no")
		require.Equal(t, kind, fault.KindOf(client.ApplyRuntime(t.Context(), engine.RuntimeWish{})))
		require.Equal(t, kind, fault.KindOf(client.ApplyVersion(t.Context(), engine.VersionWish{})))
		require.Equal(t, kind, fault.KindOf(client.DeleteVersion(t.Context(), "prod", "v1")))
		_, err := client.ObserveRuntime(t.Context(), "prod")
		require.Equal(t, kind, fault.KindOf(err))
	}
	stop()
	_, err := client.ObserveRuntime(t.Context(), "prod")
	requireAway(t, err)
	requireAway(t, client.DeleteRuntime(t.Context(), "prod"))
}

var status = &managerv1.RuntimeStatus{
	Runtime: "prod", Phase: managerv1.RuntimeStatus_PHASE_READY, Reason: "why", Revision: 3, PublishedVersion: "v1", GrpcAddress: "h:1",
	HttpAddress: "http://h:2", RuntimeApiAddress: "h:3", ObserveTime: timestamppb.New(time.Unix(1000, 0)),
	Versions: []*managerv1.VersionStatus{
		{
			Version: "v1", Phase: managerv1.VersionStatus_PHASE_STARTED, Reason: "well", Revision: 2, Digest: "d", StoredMessages: 9,
			GrpcAddress: "h:4", HttpAddress: "http://h:5",
		},
		{Version: "v2", Phase: 77},
	},
}

var seen = engine.ObservedRuntime{
	Name: "prod", Phase: engine.Ready, Reason: "why", Revision: 3, Published: "v1", GRPCAddress: "h:1", HTTPAddress: "http://h:2",
	RuntimeAPIAddress: "h:3", ObserveTime: time.Unix(1000, 0).UTC(),
	Versions: []engine.ObservedVersion{
		{
			Name: "v1", Phase: engine.Started, Reason: "well", Revision: 2, Digest: "d", StoredMessages: 9, GRPCAddress: "h:4",
			HTTPAddress: "http://h:5",
		},
		{Name: "v2", Phase: engine.PhaseUnknown},
	},
}

func TestWhatIsObservedArrivesWholeAndAPhaseOfTomorrowIsUnknown(t *testing.T) {
	client, _ := serve(t, &manager{status: status})
	got, err := client.ObserveRuntime(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, seen, got)
}

// Every phase that the contract has is one of ours.
func TestEveryPhaseIsKnown(t *testing.T) {
	phases := managerv1.RuntimeStatus_Phase(0).Descriptor().Values()
	for i := 1; i < phases.Len(); i++ {
		require.Contains(t, runtimePhases, managerv1.RuntimeStatus_Phase(phases.Get(i).Number()))
	}
	phases = managerv1.VersionStatus_Phase(0).Descriptor().Values()
	for i := 1; i < phases.Len(); i++ {
		require.Contains(t, versionPhases, managerv1.VersionStatus_Phase(phases.Get(i).Number()))
	}
}

func TestAWatchTellsEverythingInOrderAndEndsWithTheStream(t *testing.T) {
	client, _ := serve(t, &manager{watch: func(stream grpc.ServerStreamingServer[managerv1.WatchResponse]) error {
		return errors.Join(
			stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_Runtime{Runtime: status}}),
			stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_Synced{Synced: true}}),
			stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_Alive{Alive: true}}),
			stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_DeletedRuntime{DeletedRuntime: "prod"}}),
		)
	}})
	var got []engine.Observation
	requireAway(t, client.WatchRuntimes(t.Context(), func(o engine.Observation) { got = append(got, o) }))
	require.Equal(t, []engine.Observation{{Runtime: &seen}, {Synced: true}, {Alive: true}, {Deleted: "prod"}}, got)
}

func TestAWatchThatFallsSilentIsGivenUp(t *testing.T) {
	client, _ := serve(t, &manager{watch: func(stream grpc.ServerStreamingServer[managerv1.WatchResponse]) error {
		err := stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_Synced{Synced: true}})
		<-stream.Context().Done()
		return err
	}})
	client.silence = 200 * time.Millisecond
	err := client.WatchRuntimes(t.Context(), func(engine.Observation) {})
	requireAway(t, err)
	require.ErrorIs(t, err, errSilent)
}

func TestAWatchEndsWithWhoWatches(t *testing.T) {
	client, _ := serve(t, &manager{watch: func(stream grpc.ServerStreamingServer[managerv1.WatchResponse]) error {
		err := stream.Send(&managerv1.WatchResponse{Event: &managerv1.WatchResponse_Synced{Synced: true}})
		<-stream.Context().Done()
		return err
	}})
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, client.WatchRuntimes(ctx, func(engine.Observation) { cancel() }), context.Canceled)
}
