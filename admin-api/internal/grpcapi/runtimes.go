package grpcapi

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

type runtimeService struct {
	adminv1.UnimplementedRuntimeServiceServer
	engine *engine.Engine
}

// CreateRuntime implements the rpc.
func (s *runtimeService) CreateRuntime(ctx context.Context, request *adminv1.CreateRuntimeRequest) (*adminv1.Runtime, error) {
	id := request.GetRuntimeId()
	if name := request.GetRuntime().GetName(); name != "" {
		named, err := parseRuntime("runtime.name", name)
		if err != nil {
			return nil, err
		}
		if id != "" && id != named {
			return nil, wrong("runtime_id", fmt.Sprintf("%q is not what runtime.name says: %q", id, name))
		}
		id = named
	}
	made, err := s.engine.CreateRuntime(ctx, id, request.GetRuntime().GetDescription(), request.GetComment())
	if err != nil {
		return nil, err
	}
	return runtimeMessage(made), nil
}

// wrong is a request of which one field is wrong.
func wrong(field, message string) error {
	refusal := fault.New(fault.Invalid, "%s: %s", field, message).For(engine.ReasonInvalidRequest)
	refusal.Fields = []fault.Field{{Path: field, Message: message}}
	return refusal
}

// GetRuntime implements the rpc.
func (s *runtimeService) GetRuntime(ctx context.Context, request *adminv1.GetRuntimeRequest) (*adminv1.Runtime, error) {
	name, err := parseRuntime("name", request.GetName())
	if err != nil {
		return nil, err
	}
	found, err := s.engine.GetRuntime(ctx, name)
	if err != nil {
		return nil, err
	}
	return runtimeMessage(found), nil
}

// ListRuntimes implements the rpc.
func (s *runtimeService) ListRuntimes(ctx context.Context, request *adminv1.ListRuntimesRequest) (*adminv1.ListRuntimesResponse, error) {
	page, err := s.engine.ListRuntimes(ctx, engine.PageRequest{
		Size: int(request.GetPageSize()), Token: request.GetPageToken(), Filter: request.GetFilter(),
	})
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListRuntimesResponse{NextPageToken: page.NextToken}
	for _, runtime := range page.Runtimes {
		response.Runtimes = append(response.Runtimes, runtimeMessage(runtime))
	}
	return response, nil
}

// UpdateRuntime implements the rpc.
func (s *runtimeService) UpdateRuntime(ctx context.Context, request *adminv1.UpdateRuntimeRequest) (*adminv1.Runtime, error) {
	name, err := parseRuntime("runtime.name", request.GetRuntime().GetName())
	if err != nil {
		return nil, err
	}
	changes, err := changesDescription(request.GetUpdateMask().GetPaths(), request.GetRuntime())
	if err != nil {
		return nil, err
	}
	if !changes {
		return s.GetRuntime(ctx, &adminv1.GetRuntimeRequest{Name: request.GetRuntime().GetName()})
	}
	updated, err := s.engine.UpdateRuntime(ctx, name, request.GetRuntime().GetDescription(), request.GetRuntime().GetRevision())
	if err != nil {
		return nil, err
	}
	return runtimeMessage(updated), nil
}

// changesDescription reads an update mask. What is only answered may be among its fields and is left alone (aip.dev/203):
// over REST the mask is what the body holds, which may be a runtime as it was read. Without a mask what is there is meant, and
// nothing else (aip.dev/134).
func changesDescription(mask []string, runtime *adminv1.Runtime) (bool, error) {
	if len(mask) == 0 {
		return runtime.GetDescription() != "", nil
	}
	changes := false
	fields := (&adminv1.Runtime{}).ProtoReflect().Descriptor().Fields()
	for _, path := range mask {
		switch {
		case path == "description", path == "*":
			changes = true
		case path == "": // of an empty body
		case fields.ByName(protoreflect.Name(path)) == nil:
			return false, wrong("update_mask", fmt.Sprintf("a runtime has no field %q; what can be changed is description", path))
		}
	}
	return changes, nil
}

// DeleteRuntime implements the rpc.
func (s *runtimeService) DeleteRuntime(ctx context.Context, request *adminv1.DeleteRuntimeRequest) (*emptypb.Empty, error) {
	name, err := parseRuntime("name", request.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.engine.DeleteRuntime(ctx, name, request.GetConfirm()); err != nil {
		return nil, err
	}
	return new(emptypb.Empty), nil
}

// WatchRuntime implements the rpc.
func (s *runtimeService) WatchRuntime(request *adminv1.WatchRuntimeRequest, stream grpc.ServerStreamingServer[adminv1.WatchRuntimeResponse]) error {
	name, err := parseRuntime("name", request.GetName())
	if err != nil {
		return err
	}
	if request.GetAfterRevision() < 0 {
		return wrong("after_revision", "it is negative; want a revision, or 0 for a snapshot")
	}
	return s.engine.WatchRuntime(stream.Context(), name, request.GetAfterRevision(), func(event engine.Event) error {
		return stream.Send(eventMessage(name, event))
	})
}

func eventMessage(runtime string, event engine.Event) *adminv1.WatchRuntimeResponse {
	response := &adminv1.WatchRuntimeResponse{Revision: event.Revision}
	switch {
	case event.Snapshot != nil:
		snapshot := &adminv1.WatchRuntimeResponse_Snapshot{Runtime: runtimeMessage(event.Snapshot.Runtime)}
		for _, version := range event.Snapshot.Versions {
			snapshot.Versions = append(snapshot.Versions, versionMessage(version))
		}
		response.Event = &adminv1.WatchRuntimeResponse_Snapshot_{Snapshot: snapshot}
	case event.Runtime != nil:
		response.Event = &adminv1.WatchRuntimeResponse_Runtime{Runtime: runtimeMessage(*event.Runtime)}
	case event.Version != nil:
		response.Event = &adminv1.WatchRuntimeResponse_Version{Version: versionMessage(*event.Version)}
	case event.DeletedVersion != "":
		response.Event = &adminv1.WatchRuntimeResponse_DeletedVersion{DeletedVersion: versionName(runtime, event.DeletedVersion)}
	case event.Deleted:
		response.Event = &adminv1.WatchRuntimeResponse_Deleted{Deleted: true}
	}
	return response
}

// ListActivities implements the rpc.
func (s *runtimeService) ListActivities(ctx context.Context, request *adminv1.ListActivitiesRequest) (*adminv1.ListActivitiesResponse, error) {
	name, err := parseRuntime("parent", request.GetParent())
	if err != nil {
		return nil, err
	}
	page, err := s.engine.ListActivities(ctx, name, engine.PageRequest{
		Size: int(request.GetPageSize()), Token: request.GetPageToken(), Filter: request.GetFilter(),
	})
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListActivitiesResponse{NextPageToken: page.NextToken}
	for _, activity := range page.Activities {
		response.Activities = append(response.Activities, &adminv1.Activity{
			Time: stamp(activity.Time), Actor: activity.Actor, Action: string(activity.Action), Runtime: runtimeName(activity.Runtime),
			Version: versionName(activity.Runtime, activity.Version), Comment: activity.Comment, Revision: activity.Revision,
			Details: activity.Details,
		})
	}
	return response, nil
}

// opened tells the caller of a stream that it has begun, since it may be silent for long.
func opened(stream grpc.ServerStream) error {
	return stream.SendHeader(metadata.Pairs(StreamOpen, "open"))
}

var runtimeStates = map[engine.RuntimeState]adminv1.Runtime_State{
	engine.RuntimeCreating: adminv1.Runtime_CREATING,
	engine.RuntimeReady:    adminv1.Runtime_READY,
	engine.RuntimeError:    adminv1.Runtime_ERROR,
	engine.RuntimeDeleting: adminv1.Runtime_DELETING,
	engine.RuntimeUnknown:  adminv1.Runtime_UNKNOWN,
}

func runtimeMessage(r engine.Runtime) *adminv1.Runtime {
	return &adminv1.Runtime{
		Name: runtimeName(r.Name), Description: r.Description, Revision: r.Revision, CreateTime: stamp(r.CreateTime),
		State: runtimeStates[r.State], StateReason: r.StateReason, ObserveTime: stamp(r.ObserveTime),
		PublishedVersion: versionName(r.Name, r.Published), GrpcAddress: r.GRPCAddress, HttpAddress: r.HTTPAddress,
	}
}

// clean is a list without what is empty: a list of REST may be written with empty parts.
func clean(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}
