package grpcapi

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/krt/archive"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

// chunkSize is how many bytes of a file one message carries.
const chunkSize = 256 << 10

type packageService struct {
	runtimev1.UnimplementedPackageServiceServer
	packages *packages.Service
}

// RegisterPackages registers the service of packages with a server.
func RegisterPackages(server grpc.ServiceRegistrar, service *packages.Service) {
	runtimev1.RegisterPackageServiceServer(server, &packageService{packages: service})
}

type uploadStream = grpc.BidiStreamingServer[runtimev1.UploadPackageRequest, runtimev1.UploadPackageResponse]

// UploadPackage implements the rpc.
func (s *packageService) UploadPackage(stream uploadStream) error {
	stored, err := s.packages.Upload(stream.Context(), &uploaded{stream: stream}, func(m packages.Manifest) error {
		return stream.Send(&runtimev1.UploadPackageResponse{
			Progress: &runtimev1.UploadPackageResponse_Manifest{Manifest: packageManifest(m)},
		})
	})
	if err != nil {
		return err
	}
	answer := packageMessage(stored)
	answer.Files = nil
	return stream.Send(&runtimev1.UploadPackageResponse{Progress: &runtimev1.UploadPackageResponse_Package{Package: answer}})
}

// uploaded reads the bytes of an upload.
type uploaded struct {
	stream uploadStream
	rest   []byte // of the last chunk
}

func (u *uploaded) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		request, err := u.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.EOF
		case err != nil && u.stream.Context().Err() != nil:
			return 0, u.stream.Context().Err()
		case err != nil:
			return 0, err
		}
		u.rest = request.GetChunk()
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// GetPackage implements the rpc.
func (s *packageService) GetPackage(ctx context.Context, request *runtimev1.GetPackageRequest) (*runtimev1.GetPackageResponse, error) {
	stored, err := s.packages.Get(ctx, request.GetVersion())
	if err != nil {
		return nil, err
	}
	return &runtimev1.GetPackageResponse{Package: packageMessage(stored)}, nil
}

// GetFile implements the rpc.
func (s *packageService) GetFile(request *runtimev1.GetFileRequest, stream grpc.ServerStreamingServer[runtimev1.GetFileResponse]) error {
	content, err := s.packages.File(stream.Context(), request.GetVersion(), request.GetPath())
	if err != nil {
		return err
	}
	err = inChunks(content, make([]byte, chunkSize), func(chunk []byte) error {
		return stream.Send(&runtimev1.GetFileResponse{Chunk: chunk})
	})
	return errors.Join(err, content.Close())
}

// FetchPackage implements the rpc.
func (s *packageService) FetchPackage(request *runtimev1.FetchPackageRequest, stream grpc.ServerStreamingServer[runtimev1.FetchPackageResponse]) error {
	buffer := make([]byte, chunkSize)
	return s.packages.Fetch(stream.Context(), request.GetVersion(), request.GetDigest(), func(file archive.File, content io.Reader) error {
		err := stream.Send(&runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_File{File: fileMessage(file)}})
		if err != nil {
			return err
		}
		return inChunks(content, buffer, func(chunk []byte) error {
			return stream.Send(&runtimev1.FetchPackageResponse{Content: &runtimev1.FetchPackageResponse_Chunk{Chunk: chunk}})
		})
	})
}

// inChunks sends content, which it reads into the buffer.
func inChunks(content io.Reader, buffer []byte, send func(chunk []byte) error) error {
	for {
		n, err := fill(content, buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF { //nolint:errorlint // a failure may wrap one
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until the buffer is full or content is not to be had.
func fill(content io.Reader, buffer []byte) (int, error) {
	n := 0
	for n < len(buffer) {
		more, err := content.Read(buffer[n:])
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// ListPackages implements the rpc.
func (s *packageService) ListPackages(ctx context.Context, _ *runtimev1.ListPackagesRequest) (*runtimev1.ListPackagesResponse, error) {
	digests, err := s.packages.List(ctx)
	if err != nil {
		return nil, err
	}
	return &runtimev1.ListPackagesResponse{Digests: digests}, nil
}

// DeletePackage implements the rpc.
func (s *packageService) DeletePackage(ctx context.Context, request *runtimev1.DeletePackageRequest) (*runtimev1.DeletePackageResponse, error) {
	if err := s.packages.Delete(ctx, request.GetVersion()); err != nil {
		return nil, err
	}
	return &runtimev1.DeletePackageResponse{}, nil
}

func packageMessage(p *packages.Package) *runtimev1.Package {
	message := &runtimev1.Package{Version: p.Version, Digest: p.Digest, SizeBytes: p.Size, Manifest: packageManifest(p.Manifest)}
	for _, file := range p.Files {
		message.Files = append(message.Files, fileMessage(file))
	}
	return message
}

func fileMessage(file archive.File) *runtimev1.PackageFile {
	return &runtimev1.PackageFile{Path: file.Path, Executable: file.Executable, SizeBytes: file.Size, Sha256: file.SHA256}
}

func packageManifest(m packages.Manifest) *runtimev1.PackageManifest {
	message := &runtimev1.PackageManifest{
		Version: m.Version, DisplayName: m.DisplayName, Description: m.Description, ConfigVariables: m.Variables, ConfigFiles: m.Files,
	}
	for _, workflow := range m.Workflows {
		w := &runtimev1.PackageWorkflow{Name: workflow.Name, Rpc: workflow.RPC, Exitpoint: workflow.Exitpoint}
		for _, node := range workflow.Nodes {
			w.Nodes = append(w.Nodes, &runtimev1.PackageNode{
				Name: node.Name, Src: node.Src, Subscriptions: node.Subscriptions, Replicas: int32(node.Replicas),
			})
		}
		message.Workflows = append(message.Workflows, w)
	}
	for _, warning := range m.Warnings {
		message.Warnings = append(message.Warnings, &runtimev1.Problem{Field: warning.Path, Line: int32(warning.Line), Message: warning.Message})
	}
	return message
}
