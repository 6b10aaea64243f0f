package grpcapi_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/k8s-manager/internal/grpcapi"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle/lifecycletest"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

const patience = time.Minute

// serve serves a cluster in memory until the test ends.
func serve(t *testing.T) (*lifecycletest.Cluster, managerv1.LifecycleServiceClient) {
	t.Helper()
	cluster := lifecycletest.NewCluster()
	manager := lifecycle.NewManager(cluster, lifecycle.Options{Alive: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		manager.Run(ctx)
	}()
	server := rpc.NewServer(zap.NewNop(), rpc.Options{Token: "secret"})
	grpcapi.Register(server, manager)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := rpc.Dial(listener.Addr().String(), rpc.ClientOptions{Token: "secret"})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, server.Stop(context.Background()))
		require.NoError(t, <-served)
		cancel()
		<-watched
	})
	return cluster, managerv1.NewLifecycleServiceClient(conn)
}

func call(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var digest = strings.Repeat("a", 64)

func TestTheDomainGetsAllThatIsAsked(t *testing.T) {
	cluster, client := serve(t)
	ctx := call(t)
	_, err := client.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 1, PublishedVersion: "v1"})
	require.NoError(t, err)
	_, err = client.ApplyVersion(ctx, &managerv1.ApplyVersionRequest{
		Runtime: "prices", Version: "v1", Revision: 2, Digest: digest, Running: true, Discard: true,
		Variables: map[string]string{"A": "b"}, Files: map[string][]byte{"C": []byte("d")}, DrainSeconds: 7,
	})
	require.NoError(t, err)
	require.Equal(t, lifecycle.Version{
		Runtime: "prices", Name: "v1", Revision: 2, Digest: digest, Running: true, Discard: true,
		Variables: map[string]string{"A": "b"}, Files: map[string][]byte{"C": []byte("d")}, Drain: 7 * time.Second,
	}, cluster.Desired("prices", "v1"))

	answer, err := client.GetRuntime(ctx, &managerv1.GetRuntimeRequest{Runtime: "prices"})
	require.NoError(t, err)
	s := answer.GetStatus()
	require.Equal(t, "prices", s.GetRuntime())
	require.Equal(t, managerv1.RuntimeStatus_PHASE_READY, s.GetPhase())
	require.EqualValues(t, 1, s.GetRevision())
	require.Equal(t, "v1", s.GetPublishedVersion())
	require.Equal(t, "127.0.0.1:9000", s.GetGrpcAddress())
	require.Equal(t, "http://127.0.0.1:8080", s.GetHttpAddress())
	require.Equal(t, "127.0.0.1:9100", s.GetRuntimeApiAddress())
	require.NotZero(t, s.GetObserveTime().AsTime().Unix())
	require.Len(t, s.GetVersions(), 1)
	v := s.GetVersions()[0]
	require.Equal(t, "v1", v.GetVersion())
	require.Equal(t, managerv1.VersionStatus_PHASE_STARTED, v.GetPhase())
	require.EqualValues(t, 2, v.GetRevision())
	require.Equal(t, digest, v.GetDigest())
	require.Equal(t, "127.0.0.1:9001", v.GetGrpcAddress())
	require.Equal(t, "http://127.0.0.1:8081", v.GetHttpAddress())

	_, err = client.DeleteVersion(ctx, &managerv1.DeleteVersionRequest{Runtime: "prices", Version: "v1"})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	_, err = client.ApplyVersion(ctx, &managerv1.ApplyVersionRequest{Runtime: "prices", Version: "v1", Revision: 3, Digest: digest})
	require.NoError(t, err)
	_, err = client.DeleteVersion(ctx, &managerv1.DeleteVersionRequest{Runtime: "prices", Version: "v1"})
	require.NoError(t, err)
	_, err = client.DeleteRuntime(ctx, &managerv1.DeleteRuntimeRequest{Runtime: "prices"})
	require.NoError(t, err)
	_, err = client.GetRuntime(ctx, &managerv1.GetRuntimeRequest{Runtime: "prices"})
	require.Equal(t, codes.NotFound, status.Code(err))
}

func TestErrorsHaveTheCodeThatTheirKindHas(t *testing.T) {
	cluster, client := serve(t)
	ctx := call(t)
	_, err := client.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{Runtime: "Prices"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = client.ApplyVersion(ctx, &managerv1.ApplyVersionRequest{Runtime: "prices", Version: "v1", Revision: 1, Digest: digest})
	require.Equal(t, codes.NotFound, status.Code(err))
	_, err = client.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 2})
	require.NoError(t, err)
	_, err = client.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 1})
	require.Equal(t, codes.Aborted, status.Code(err))
	cluster.Fail(fault.New(fault.Unavailable, "away"))
	_, err = client.DeleteRuntime(ctx, &managerv1.DeleteRuntimeRequest{Runtime: "prices"})
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestWatchStreamsEveryKindOfEvent(t *testing.T) {
	cluster, client := serve(t)
	ctx := call(t)
	stream, err := client.Watch(ctx, &managerv1.WatchRequest{})
	require.NoError(t, err)
	receive := func() *managerv1.WatchResponse {
		message, err := stream.Recv()
		require.NoError(t, err)
		return message
	}
	change := func() *managerv1.WatchResponse {
		for {
			if message := receive(); !message.GetAlive() {
				return message
			}
		}
	}
	require.True(t, receive().GetSynced())
	require.True(t, receive().GetAlive())
	_, err = client.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 1})
	require.NoError(t, err)
	require.Equal(t, "prices", change().GetRuntime().GetRuntime())
	cluster.Break("prices", "no room")
	broken := change().GetRuntime()
	require.Equal(t, managerv1.RuntimeStatus_PHASE_ERROR, broken.GetPhase())
	require.Equal(t, "no room", broken.GetReason())
	_, err = client.DeleteRuntime(ctx, &managerv1.DeleteRuntimeRequest{Runtime: "prices"})
	require.NoError(t, err)
	require.Equal(t, "prices", change().GetDeletedRuntime())
}
