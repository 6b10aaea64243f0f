// Command standin stands in for runtime-api and for the entrypoint, whichever name it is started by. As runtime-api it
// serves packages from a folder, whose path is given as the endpoint of the object store; as entrypoint it answers every
// HTTP request with the name of its version.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/socket"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	serve := runtimeAPI
	if filepath.Base(os.Args[0]) == "entrypoint" {
		serve = entrypoint
	}
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ready() error { return os.WriteFile(os.Getenv("KRE_READY_FILE"), nil, 0o600) }

func entrypoint(ctx context.Context) error {
	config, err := os.ReadFile(os.Getenv("KRE_CONFIG"))
	if err != nil {
		return err
	}
	forGRPC, err := net.Listen("tcp", os.Getenv("KRE_GRPC_ADDR"))
	if err != nil {
		return err
	}
	defer forGRPC.Close()
	listener, err := net.Listen("tcp", os.Getenv("KRE_HTTP_ADDR"))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(config)
	})}
	go func() { _ = server.Serve(listener) }()
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}

func runtimeAPI(ctx context.Context) error {
	listener, err := socket.Listen(os.Getenv("KRE_GRPC_ADDR"))
	if err != nil {
		return err
	}
	server := rpc.NewServer(zap.NewNop(), rpc.Options{Token: os.Getenv("KRE_SERVICE_TOKEN")})
	s := &service{packages: os.Getenv("KRE_S3_ENDPOINT")}
	runtimev1.RegisterVersionServiceServer(server, s)
	runtimev1.RegisterPackageServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return server.Stop(context.Background())
}

type service struct {
	runtimev1.UnimplementedVersionServiceServer
	runtimev1.UnimplementedPackageServiceServer
	packages string
}

func (s *service) PrepareVersion(_ context.Context, r *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error) {
	m, problems := manifest.Parse(r.GetManifest().GetFileName(), r.GetManifest().GetContent())
	if err := problems.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the manifest is wrong")
	}
	answer := &runtimev1.PrepareVersionResponse{Version: m.ID, Entrypoint: &runtimev1.Entrypoint{Config: m.ID}}
	for _, w := range m.Workflows {
		for _, n := range w.Nodes {
			answer.Nodes = append(answer.Nodes, &runtimev1.Node{
				Workflow: w.Name, Name: n.Name, WorkflowId: w.ID, Id: n.ID, Src: n.Src, Replicas: 1, Config: "{}",
				Runner: runtimev1.Runner_RUNNER_EXECUTABLE, ConfigVariables: m.ConfigOf(n).Variables,
			})
		}
	}
	return answer, nil
}

func (s *service) ReleaseVersion(context.Context, *runtimev1.ReleaseVersionRequest) (*runtimev1.ReleaseVersionResponse, error) {
	return &runtimev1.ReleaseVersionResponse{}, nil
}

func (s *service) RemoveVersion(context.Context, *runtimev1.RemoveVersionRequest) (*runtimev1.RemoveVersionResponse, error) {
	return &runtimev1.RemoveVersionResponse{}, nil
}

func (s *service) CommandEntrypoints(context.Context, *runtimev1.CommandEntrypointsRequest) (*runtimev1.CommandEntrypointsResponse, error) {
	return &runtimev1.CommandEntrypointsResponse{Entrypoints: []*runtimev1.EntrypointReport{{}}}, nil
}

func (s *service) CountMessages(context.Context, *runtimev1.CountMessagesRequest) (*runtimev1.CountMessagesResponse, error) {
	return &runtimev1.CountMessagesResponse{}, nil
}

func (s *service) FetchPackage(r *runtimev1.FetchPackageRequest, stream grpc.ServerStreamingServer[runtimev1.FetchPackageResponse]) error {
	root := filepath.Join(s.packages, r.GetVersion())
	p, err := archive.Dir(stream.Context(), root)
	if err != nil {
		return fault.Wrap(fault.NotFound, err, "version %s has no package", r.GetVersion())
	}
	for _, file := range p.Files {
		err := stream.Send(&runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_File{File: &runtimev1.PackageFile{
			Path: file.Path, Executable: file.Executable, SizeBytes: file.Size, Sha256: file.SHA256,
		}}})
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(os.DirFS(root), file.Path)
		if err != nil {
			return err
		}
		if err := stream.Send(&runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_Chunk{Chunk: content}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) ListPackages(context.Context, *runtimev1.ListPackagesRequest) (*runtimev1.ListPackagesResponse, error) {
	entries, err := os.ReadDir(s.packages)
	if err != nil {
		return nil, err
	}
	answer := &runtimev1.ListPackagesResponse{Digests: make(map[string]string)}
	for _, entry := range entries {
		answer.Digests[entry.Name()] = strings.Repeat("0", 64)
	}
	return answer, nil
}

func (s *service) DeletePackage(_ context.Context, r *runtimev1.DeletePackageRequest) (*runtimev1.DeletePackageResponse, error) {
	return &runtimev1.DeletePackageResponse{}, os.RemoveAll(filepath.Join(s.packages, r.GetVersion()))
}
