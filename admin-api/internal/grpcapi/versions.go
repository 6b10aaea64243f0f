package grpcapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

type versionService struct {
	adminv1.UnimplementedVersionServiceServer
	engine *engine.Engine
}

// UploadVersion implements the rpc.
func (s *versionService) UploadVersion(stream grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]) error {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return wrong("parent", "it is required in the first message: runtimes/{runtime}")
	}
	if err != nil {
		return err
	}
	runtime, err := parseRuntime("parent", first.GetParent())
	if err != nil {
		return err
	}
	uploaded, err := s.engine.UploadVersion(stream.Context(), runtime, first.GetComment(), &chunks{stream: stream, rest: first.GetChunk()})
	if err != nil {
		return err
	}
	return stream.SendAndClose(versionMessage(uploaded))
}

// chunks is the package that an upload sends.
type chunks struct {
	stream grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]
	rest   []byte
	err    error
}

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var request *adminv1.UploadVersionRequest
		if request, c.err = c.stream.Recv(); c.err == nil {
			c.rest = request.GetChunk()
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// GetVersion implements the rpc.
func (s *versionService) GetVersion(ctx context.Context, request *adminv1.GetVersionRequest) (*adminv1.Version, error) {
	runtime, version, err := parseVersion("name", request.GetName())
	if err != nil {
		return nil, err
	}
	return answer(s.engine.GetVersion(ctx, runtime, version))
}

func answer(version engine.Version, err error) (*adminv1.Version, error) {
	if err != nil {
		return nil, err
	}
	return versionMessage(version), nil
}

// ListVersions implements the rpc.
func (s *versionService) ListVersions(ctx context.Context, request *adminv1.ListVersionsRequest) (*adminv1.ListVersionsResponse, error) {
	runtime, err := parseRuntime("parent", request.GetParent())
	if err != nil {
		return nil, err
	}
	page, err := s.engine.ListVersions(ctx, runtime, engine.PageRequest{
		Size: int(request.GetPageSize()), Token: request.GetPageToken(), Filter: request.GetFilter(),
	})
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListVersionsResponse{NextPageToken: page.NextToken}
	for _, version := range page.Versions {
		response.Versions = append(response.Versions, versionMessage(version))
	}
	return response, nil
}

// DeleteVersion implements the rpc.
func (s *versionService) DeleteVersion(ctx context.Context, request *adminv1.DeleteVersionRequest) (*emptypb.Empty, error) {
	runtime, version, err := parseVersion("name", request.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.engine.DeleteVersion(ctx, runtime, version, request.GetComment()); err != nil {
		return nil, err
	}
	return new(emptypb.Empty), nil
}

// transition reads what the requests of all transitions have in common.
func transition(request interface {
	GetName() string
	GetComment() string
	GetRevision() int64
}) (engine.Transition, error) {
	runtime, version, err := parseVersion("name", request.GetName())
	return engine.Transition{Runtime: runtime, Version: version, Comment: request.GetComment(), Revision: request.GetRevision()}, err
}

// StartVersion implements the rpc.
func (s *versionService) StartVersion(ctx context.Context, request *adminv1.StartVersionRequest) (*adminv1.Version, error) {
	t, err := transition(request)
	if err != nil {
		return nil, err
	}
	return answer(s.engine.StartVersion(ctx, t))
}

// StopVersion implements the rpc.
func (s *versionService) StopVersion(ctx context.Context, request *adminv1.StopVersionRequest) (*adminv1.Version, error) {
	t, err := transition(request)
	if err != nil {
		return nil, err
	}
	return answer(s.engine.StopVersion(ctx, t, request.GetDiscard()))
}

// PublishVersion implements the rpc.
func (s *versionService) PublishVersion(ctx context.Context, request *adminv1.PublishVersionRequest) (*adminv1.Version, error) {
	t, err := transition(request)
	if err != nil {
		return nil, err
	}
	return answer(s.engine.PublishVersion(ctx, t))
}

// UnpublishVersion implements the rpc.
func (s *versionService) UnpublishVersion(ctx context.Context, request *adminv1.UnpublishVersionRequest) (*adminv1.Version, error) {
	t, err := transition(request)
	if err != nil {
		return nil, err
	}
	return answer(s.engine.UnpublishVersion(ctx, t))
}

// GetConfig implements the rpc.
func (s *versionService) GetConfig(ctx context.Context, request *adminv1.GetConfigRequest) (*adminv1.Config, error) {
	parts, err := parse("name", request.GetName(), "runtimes/*/versions/*/config")
	if err != nil {
		return nil, err
	}
	view, err := s.engine.GetConfig(ctx, parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	return configMessage(view), nil
}

// UpdateConfig implements the rpc.
func (s *versionService) UpdateConfig(ctx context.Context, request *adminv1.UpdateConfigRequest) (*adminv1.Config, error) {
	parts, err := parse("name", request.GetName(), "runtimes/*/versions/*/config")
	if err != nil {
		return nil, err
	}
	view, err := s.engine.UpdateConfig(ctx, engine.ConfigChange{
		Transition: engine.Transition{Runtime: parts[0], Version: parts[1], Comment: request.GetComment(), Revision: request.GetRevision()},
		Variables:  request.GetVariables(), Files: request.GetFiles(), Unset: request.GetUnset(),
	})
	if err != nil {
		return nil, err
	}
	return configMessage(view), nil
}

// GetDocumentation implements the rpc.
func (s *versionService) GetDocumentation(ctx context.Context, request *adminv1.GetDocumentationRequest) (*adminv1.Documentation, error) {
	parts, err := parse("name", request.GetName(), "runtimes/*/versions/*/documentation")
	if err != nil {
		return nil, err
	}
	markdown, err := s.engine.GetDocumentation(ctx, parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	return &adminv1.Documentation{Name: request.GetName(), Markdown: markdown}, nil
}

// CallVersion implements the rpc.
func (s *versionService) CallVersion(ctx context.Context, request *adminv1.CallVersionRequest) (*adminv1.CallVersionResponse, error) {
	runtime, version, err := parseVersion("name", request.GetName())
	if err != nil {
		return nil, err
	}
	body := []byte("{}")
	if request.GetRequest() != nil {
		if body, err = protojson.Marshal(request.GetRequest()); err != nil {
			return nil, wrong("request", "it cannot be written as JSON: "+err.Error())
		}
	}
	timeout := request.GetTimeout().AsDuration()
	if timeout < 0 {
		return nil, wrong("timeout", "it is negative")
	}
	said, err := s.engine.CallVersion(ctx, runtime, version, request.GetRpc(), body, timeout)
	if err != nil {
		return nil, callFailed(version, err)
	}
	response := &adminv1.CallVersionResponse{RequestId: said.RequestID, Response: new(structpb.Value)}
	if err := protojson.Unmarshal(said.Response, response.Response); err != nil {
		return nil, fmt.Errorf("read the answer of a version: %w", err)
	}
	return response, nil
}

// stamp is a time as messages hold it; none for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

var versionStates = map[engine.State]adminv1.Version_State{
	engine.StateCreating:  adminv1.Version_CREATING,
	engine.StateStopped:   adminv1.Version_STOPPED,
	engine.StateStarting:  adminv1.Version_STARTING,
	engine.StateStarted:   adminv1.Version_STARTED,
	engine.StatePublished: adminv1.Version_PUBLISHED,
	engine.StateStopping:  adminv1.Version_STOPPING,
	engine.StateError:     adminv1.Version_ERROR,
	engine.StateUnknown:   adminv1.Version_UNKNOWN,
	engine.StateDeleting:  adminv1.Version_DELETING,
}

func versionMessage(v engine.Version) *adminv1.Version {
	message := &adminv1.Version{
		Name: versionName(v.Runtime, v.Name), DisplayName: v.DisplayName, Description: v.Description, Digest: v.Digest,
		SizeBytes: v.Size, CreateTime: stamp(v.CreateTime), Creator: v.Creator, Revision: v.Revision,
		State: versionStates[v.State], StateReason: v.StateReason, ObserveTime: stamp(v.ObserveTime),
		Published: v.Published, Running: v.Running, MissingConfig: v.MissingConfig, Warnings: v.Warnings,
		StoredMessages: v.StoredMessages, GrpcAddress: v.GRPCAddress, HttpAddress: v.HTTPAddress,
	}
	for _, workflow := range v.Workflows {
		shown := &adminv1.Workflow{Name: workflow.Name, Rpc: workflow.RPC, Exitpoint: workflow.Exitpoint}
		for _, node := range workflow.Nodes {
			shown.Nodes = append(shown.Nodes, &adminv1.WorkflowNode{
				Name: node.Name, Src: node.Source, Subscriptions: node.Subscriptions, Replicas: int32(node.Replicas),
			})
		}
		message.Workflows = append(message.Workflows, shown)
	}
	return message
}

func configMessage(view engine.ConfigView) *adminv1.Config {
	message := &adminv1.Config{Name: versionName(view.Runtime, view.Version) + "/config", Revision: view.Revision}
	for _, key := range view.Keys {
		kind := adminv1.Config_Key_VARIABLE
		if key.Kind == engine.File {
			kind = adminv1.Config_Key_FILE
		}
		message.Keys = append(message.Keys, &adminv1.Config_Key{
			Key: key.Key, Kind: kind, Set: key.Set, UpdateTime: stamp(key.UpdateTime), Updater: key.Updater,
			InheritedFrom: versionName(view.Runtime, key.InheritedFrom),
		})
	}
	return message
}
