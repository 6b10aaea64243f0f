// Package grpcapi serves the use cases of runtime-api over gRPC. It translates and decides nothing.
package grpcapi

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
)

type versionService struct {
	runtimev1.UnimplementedVersionServiceServer
	assets *assets.Service
}

// Register registers the services of runtime-api with a server.
func Register(server grpc.ServiceRegistrar, service *assets.Service) {
	runtimev1.RegisterVersionServiceServer(server, &versionService{assets: service})
}

// PrepareVersion implements the rpc.
func (s *versionService) PrepareVersion(ctx context.Context, request *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error) {
	overrides := request.GetOverrides()
	prepared, err := s.assets.Prepare(ctx, assets.Request{
		FileName:     request.GetManifest().GetFileName(),
		Content:      request.GetManifest().GetContent(),
		PackageFiles: request.GetPackageFiles(),
		Overrides: assets.Overrides{
			DefaultMaxAttempts: int(overrides.GetDefaultMaxAttempts()),
			MaxAttempts:        int(overrides.GetMaxAttempts()),
			Timeout:            overrides.GetTimeout().AsDuration(),
		},
		Keys: assets.Keys{Account: request.GetBrokerKeys().GetAccountSeed(), User: request.GetBrokerKeys().GetUserSeed()},
	})
	if err != nil {
		return nil, err
	}
	return answer(prepared)
}

// RemoveVersion implements the rpc.
func (s *versionService) RemoveVersion(ctx context.Context, request *runtimev1.RemoveVersionRequest) (*runtimev1.RemoveVersionResponse, error) {
	removed, err := s.assets.Remove(ctx, request.GetVersion())
	if err != nil {
		return nil, err
	}
	return &runtimev1.RemoveVersionResponse{RemovedStreams: int32(removed)}, nil
}

// CommandEntrypoints implements the rpc.
func (s *versionService) CommandEntrypoints(ctx context.Context, request *runtimev1.CommandEntrypointsRequest) (*runtimev1.CommandEntrypointsResponse, error) {
	command, known := map[runtimev1.EntrypointCommand]string{
		runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_REPORT: "report",
		runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_MOVE:   "move",
		runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_CLOSE:  "close",
		runtimev1.EntrypointCommand_ENTRYPOINT_COMMAND_OPEN:   "open",
	}[request.GetCommand()]
	if !known {
		return nil, fault.New(fault.Invalid, "command %s is none that an entrypoint knows", request.GetCommand())
	}
	reports, err := s.assets.Command(ctx, request.GetVersion(), command)
	if err != nil {
		return nil, err
	}
	response := new(runtimev1.CommandEntrypointsResponse)
	for _, report := range reports {
		response.Entrypoints = append(response.Entrypoints, &runtimev1.EntrypointReport{
			Instance: report.Instance, Waiting: int32(report.Waiting), Closed: report.Closed, Moving: int32(report.Moving),
		})
	}
	return response, nil
}

// CountMessages implements the rpc.
func (s *versionService) CountMessages(ctx context.Context, request *runtimev1.CountMessagesRequest) (*runtimev1.CountMessagesResponse, error) {
	count, err := s.assets.Count(ctx, request.GetVersion())
	if err != nil {
		return nil, err
	}
	return &runtimev1.CountMessagesResponse{Messages: count.Stored, DeadLetters: count.Dead}, nil
}

// DiscardMessages implements the rpc.
func (s *versionService) DiscardMessages(ctx context.Context, request *runtimev1.DiscardMessagesRequest) (*runtimev1.DiscardMessagesResponse, error) {
	dropped, err := s.assets.Discard(ctx, request.GetVersion())
	if err != nil {
		return nil, err
	}
	return &runtimev1.DiscardMessagesResponse{Messages: dropped}, nil
}

// ReleaseVersion implements the rpc.
func (s *versionService) ReleaseVersion(ctx context.Context, request *runtimev1.ReleaseVersionRequest) (*runtimev1.ReleaseVersionResponse, error) {
	if err := s.assets.Release(ctx, request.GetVersion()); err != nil {
		return nil, err
	}
	return &runtimev1.ReleaseVersionResponse{}, nil
}

func answer(p *assets.Prepared) (*runtimev1.PrepareVersionResponse, error) {
	entrypoint, err := json.Marshal(p.Plan.Entrypoint)
	if err != nil {
		return nil, fmt.Errorf("write the entrypoint's configuration: %w", err)
	}
	response := &runtimev1.PrepareVersionResponse{
		Version:     p.Plan.Version,
		DisplayName: p.Manifest.Version,

		NatsCredentials: p.Credentials,
		Entrypoint:      &runtimev1.Entrypoint{Config: string(entrypoint), Proto: p.Plan.Entrypoint.Proto},
	}
	planned := make(map[[2]string]plan.Node)
	for _, node := range p.Plan.Nodes {
		planned[[2]string{node.Workflow, node.ID}] = node
	}
	for _, workflow := range p.Manifest.Workflows {
		for _, node := range workflow.Nodes {
			config, err := json.Marshal(planned[[2]string{workflow.ID, node.ID}])
			if err != nil {
				return nil, fmt.Errorf("write the configuration of node %s of workflow %s: %w", node.Name, workflow.Name, err)
			}
			response.Nodes = append(response.Nodes, nodeMessage(p.Manifest, workflow, node, string(config)))
		}
	}
	for _, warning := range p.Warnings {
		response.Warnings = append(response.Warnings,
			&runtimev1.Problem{Field: warning.Path, Line: int32(warning.Line), Message: warning.Message})
	}
	return response, nil
}

func nodeMessage(m *manifest.Manifest, workflow manifest.Workflow, node manifest.Node, config string) *runtimev1.Node {
	values := m.ConfigOf(node)
	message := &runtimev1.Node{
		Workflow:            workflow.Name,
		Name:                node.Name,
		WorkflowId:          workflow.ID,
		Id:                  node.ID,
		Config:              config,
		Src:                 node.Src,
		Runner:              runnerOf(node),
		Image:               node.Image,
		Replicas:            int32(node.Replicas),
		Gpu:                 node.GPU,
		Resources:           &runtimev1.Resources{Requests: node.Resources.Requests, Limits: node.Resources.Limits},
		Env:                 node.Env,
		ConfigVariables:     values.Variables,
		ConfigFiles:         values.Files,
		DependenciesInImage: node.Dependencies == "image",
	}
	if node.StartTimeout > 0 {
		message.StartTimeout = durationpb.New(node.StartTimeout)
	}
	return message
}

func runnerOf(node manifest.Node) runtimev1.Runner {
	switch {
	case node.Python():
		return runtimev1.Runner_RUNNER_PYTHON
	case node.Worker():
		return runtimev1.Runner_RUNNER_WORKER
	}
	return runtimev1.Runner_RUNNER_EXECUTABLE
}
