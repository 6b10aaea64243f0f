// Package grpcapi serves kre.manager.v1: it turns messages into what the domain understands, and back. It decides
// nothing.
package grpcapi

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

// Register registers the service with a server.
func Register(server grpc.ServiceRegistrar, manager *lifecycle.Manager) {
	managerv1.RegisterLifecycleServiceServer(server, &service{manager: manager})
}

type service struct {
	managerv1.UnimplementedLifecycleServiceServer
	manager *lifecycle.Manager
}

func (s *service) ApplyRuntime(ctx context.Context, r *managerv1.ApplyRuntimeRequest) (*managerv1.ApplyRuntimeResponse, error) {
	err := s.manager.ApplyRuntime(ctx, lifecycle.Runtime{
		Name: r.GetRuntime(), Revision: r.GetRevision(), PublishedVersion: r.GetPublishedVersion(),
	})
	return &managerv1.ApplyRuntimeResponse{}, err
}

func (s *service) DeleteRuntime(ctx context.Context, r *managerv1.DeleteRuntimeRequest) (*managerv1.DeleteRuntimeResponse, error) {
	return &managerv1.DeleteRuntimeResponse{}, s.manager.DeleteRuntime(ctx, r.GetRuntime())
}

func (s *service) ApplyVersion(ctx context.Context, r *managerv1.ApplyVersionRequest) (*managerv1.ApplyVersionResponse, error) {
	err := s.manager.ApplyVersion(ctx, lifecycle.Version{
		Runtime: r.GetRuntime(), Name: r.GetVersion(), Revision: r.GetRevision(), Digest: r.GetDigest(),
		Running: r.GetRunning(), Discard: r.GetDiscard(), Variables: r.GetVariables(), Files: r.GetFiles(),
		Drain: time.Duration(r.GetDrainSeconds()) * time.Second,
	})
	return &managerv1.ApplyVersionResponse{}, err
}

func (s *service) DeleteVersion(ctx context.Context, r *managerv1.DeleteVersionRequest) (*managerv1.DeleteVersionResponse, error) {
	return &managerv1.DeleteVersionResponse{}, s.manager.DeleteVersion(ctx, r.GetRuntime(), r.GetVersion())
}

func (s *service) GetRuntime(ctx context.Context, r *managerv1.GetRuntimeRequest) (*managerv1.GetRuntimeResponse, error) {
	status, err := s.manager.Runtime(ctx, r.GetRuntime())
	if err != nil {
		return nil, err
	}
	return &managerv1.GetRuntimeResponse{Status: runtimeStatus(status)}, nil
}

func (s *service) Watch(_ *managerv1.WatchRequest, stream grpc.ServerStreamingServer[managerv1.WatchResponse]) error {
	return s.manager.Watch(stream.Context(), func(e lifecycle.Event) error { return stream.Send(event(e)) })
}

func event(e lifecycle.Event) *managerv1.WatchResponse {
	switch {
	case e.Runtime != nil:
		return &managerv1.WatchResponse{Event: &managerv1.WatchResponse_Runtime{Runtime: runtimeStatus(*e.Runtime)}}
	case e.Deleted != "":
		return &managerv1.WatchResponse{Event: &managerv1.WatchResponse_DeletedRuntime{DeletedRuntime: e.Deleted}}
	case e.Synced:
		return &managerv1.WatchResponse{Event: &managerv1.WatchResponse_Synced{Synced: true}}
	default:
		return &managerv1.WatchResponse{Event: &managerv1.WatchResponse_Alive{Alive: true}}
	}
}

func runtimeStatus(s lifecycle.RuntimeStatus) *managerv1.RuntimeStatus {
	out := &managerv1.RuntimeStatus{
		Runtime: s.Name, Phase: runtimePhase(s.Phase), Reason: s.Reason, Revision: s.Revision,
		PublishedVersion: s.PublishedVersion, GrpcAddress: s.GRPCAddress, HttpAddress: s.HTTPAddress,
		RuntimeApiAddress: s.RuntimeAPIAddress, ObserveTime: timestamppb.New(s.ObserveTime),
	}
	for _, v := range s.Versions {
		out.Versions = append(out.Versions, &managerv1.VersionStatus{
			Version: v.Name, Phase: versionPhase(v.Phase), Reason: v.Reason, Revision: v.Revision, Digest: v.Digest,
			StoredMessages: v.StoredMessages, GrpcAddress: v.GRPCAddress, HttpAddress: v.HTTPAddress,
		})
	}
	return out
}

func runtimePhase(p lifecycle.Phase) managerv1.RuntimeStatus_Phase {
	switch p {
	case lifecycle.Creating:
		return managerv1.RuntimeStatus_PHASE_CREATING
	case lifecycle.Ready:
		return managerv1.RuntimeStatus_PHASE_READY
	case lifecycle.Error:
		return managerv1.RuntimeStatus_PHASE_ERROR
	case lifecycle.Deleting:
		return managerv1.RuntimeStatus_PHASE_DELETING
	}
	return managerv1.RuntimeStatus_PHASE_UNSPECIFIED
}

func versionPhase(p lifecycle.Phase) managerv1.VersionStatus_Phase {
	switch p {
	case lifecycle.Stopped:
		return managerv1.VersionStatus_PHASE_STOPPED
	case lifecycle.Starting:
		return managerv1.VersionStatus_PHASE_STARTING
	case lifecycle.Started:
		return managerv1.VersionStatus_PHASE_STARTED
	case lifecycle.Stopping:
		return managerv1.VersionStatus_PHASE_STOPPING
	case lifecycle.Error:
		return managerv1.VersionStatus_PHASE_ERROR
	}
	return managerv1.VersionStatus_PHASE_UNSPECIFIED
}
