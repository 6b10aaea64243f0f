package runtimeclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/k8s-manager/internal/runtimeclient"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/krt/archive"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// server answers as runtime-api does.
type server struct {
	runtimev1.UnimplementedVersionServiceServer
	runtimev1.UnimplementedPackageServiceServer
	packages map[string]string // digests by version
	content  []*runtimev1.FetchPackageResponse
	failing  error // after the content
	released []string
}

func (s *server) PrepareVersion(_ context.Context, r *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error) {
	keys := r.GetBrokerKeys()
	return &runtimev1.PrepareVersionResponse{NatsCredentials: keys.GetAccountSeed() + " " + keys.GetUserSeed()}, nil
}

func (s *server) ReleaseVersion(_ context.Context, r *runtimev1.ReleaseVersionRequest) (*runtimev1.ReleaseVersionResponse, error) {
	s.released = append(s.released, r.GetVersion())
	return &runtimev1.ReleaseVersionResponse{}, nil
}

func (s *server) CommandEntrypoints(_ context.Context, r *runtimev1.CommandEntrypointsRequest) (*runtimev1.CommandEntrypointsResponse, error) {
	if r.GetCommand() != runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_CLOSE {
		return nil, fault.New(fault.Unavailable, "the broker does not answer")
	}
	return &runtimev1.CommandEntrypointsResponse{Entrypoints: []*runtimev1.EntrypointReport{{Waiting: 2}, {Waiting: 3}}}, nil
}

func (s *server) CountMessages(context.Context, *runtimev1.CountMessagesRequest) (*runtimev1.CountMessagesResponse, error) {
	return &runtimev1.CountMessagesResponse{Messages: 7, DeadLetters: 1}, nil
}

func (s *server) FetchPackage(_ *runtimev1.FetchPackageRequest, stream grpc.ServerStreamingServer[runtimev1.FetchPackageResponse]) error {
	for _, message := range s.content {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return s.failing
}

func (s *server) ListPackages(context.Context, *runtimev1.ListPackagesRequest) (*runtimev1.ListPackagesResponse, error) {
	return &runtimev1.ListPackagesResponse{Digests: s.packages}, nil
}

func (s *server) DeletePackage(_ context.Context, r *runtimev1.DeletePackageRequest) (*runtimev1.DeletePackageResponse, error) {
	delete(s.packages, r.GetVersion())
	return &runtimev1.DeletePackageResponse{}, nil
}

func serve(t *testing.T, s *server) *runtimeclient.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := rpc.NewServer(zap.NewNop(), rpc.Options{Token: "secret"})
	runtimev1.RegisterVersionServiceServer(srv, s)
	runtimev1.RegisterPackageServiceServer(srv, s)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	client, err := runtimeclient.Dial(listener.Addr().String(), rpc.ClientOptions{Token: "secret"})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, srv.Stop(context.Background()))
		require.NoError(t, <-served)
	})
	return client
}

func begin(path, content string) *runtimev1.FetchPackageResponse {
	return &runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_File{File: &runtimev1.PackageFile{
		Path: path, Executable: path == "bin/a", SizeBytes: int64(len(content)), Sha256: "sum of " + path,
	}}}
}

func chunk(content string) *runtimev1.FetchPackageResponse {
	return &runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_Chunk{Chunk: []byte(content)}}
}

func TestFetchHandsOnFilesAsTheyCome(t *testing.T) {
	client := serve(t, &server{content: []*runtimev1.FetchPackageResponse{
		begin("krt.yml", "version"), chunk("ver"), chunk("sion"), begin("empty", ""), begin("skipped", "12"), chunk("12"),
		begin("bin/a", "program"), chunk("program"),
	}})
	var files []archive.File
	got := make(map[string]string)
	err := client.Fetch(t.Context(), "v1", "digest", func(file archive.File, content io.Reader) error {
		files = append(files, file)
		if file.Path == "skipped" {
			return nil
		}
		text, err := io.ReadAll(content)
		got[file.Path] = string(text)
		return err
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"krt.yml": "version", "empty": "", "bin/a": "program"}, got)
	require.Len(t, files, 4)
	require.Equal(t, archive.File{Path: "bin/a", Executable: true, Size: 7, SHA256: "sum of bin/a"}, files[3])
}

func TestFetchEndsWithTheErrorOfEitherSide(t *testing.T) {
	client := serve(t, &server{
		content: []*runtimev1.FetchPackageResponse{begin("krt.yml", "version"), chunk("ver")},
		failing: fault.New(fault.NotFound, "an object is missing"),
	})
	read := func(_ archive.File, content io.Reader) error {
		_, err := io.ReadAll(content)
		return err
	}
	err := client.Fetch(t.Context(), "v1", "digest", read)
	require.Equal(t, fault.NotFound, fault.KindOf(err))
	full := errors.New("the disk is full")
	err = client.Fetch(t.Context(), "v1", "digest", func(archive.File, io.Reader) error { return full })
	require.ErrorIs(t, err, full)
}

func TestCommandsAreAddedUp(t *testing.T) {
	client := serve(t, &server{})
	instances, waiting, err := client.Command(t.Context(), "v1", runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_CLOSE)
	require.NoError(t, err)
	require.Equal(t, 2, instances)
	require.Equal(t, 5, waiting)
	_, _, err = client.Command(t.Context(), "v1", runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_OPEN)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	count, err := client.Count(t.Context(), "v1")
	require.NoError(t, err)
	require.EqualValues(t, 7, count)
}

func TestAVersionIsPreparedWithItsKeysAndReleased(t *testing.T) {
	s := &server{}
	client := serve(t, s)
	request := &runtimev1.PrepareVersionRequest{BrokerKeys: &runtimev1.BrokerKeys{AccountSeed: "a", UserSeed: "u"}}
	answer, err := client.Prepare(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, "a u", answer.GetNatsCredentials())
	require.NoError(t, client.Release(t.Context(), "v1"))
	require.Equal(t, []string{"v1"}, s.released)
}

func TestAllPackagesAreRemoved(t *testing.T) {
	s := &server{packages: map[string]string{"v1": "a", "v2": "b"}}
	require.NoError(t, serve(t, s).RemovePackages(t.Context()))
	require.Empty(t, s.packages)
}

func TestAServiceThatIsNotThereIsUnavailable(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	client, err := runtimeclient.Dial(ports.Address(ports.Loopback, port), rpc.ClientOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	require.Equal(t, fault.Unavailable, fault.KindOf(client.Remove(t.Context(), "v1")))
}
