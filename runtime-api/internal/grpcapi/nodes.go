package grpcapi

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

type nodeService struct {
	runtimev1.UnimplementedNodeServiceServer
	nodes *nodestatus.Service
}

// RegisterNodes registers the NodeService with a server.
func RegisterNodes(server grpc.ServiceRegistrar, nodes *nodestatus.Service) {
	runtimev1.RegisterNodeServiceServer(server, &nodeService{nodes: nodes})
}

// ListNodes implements the rpc.
func (s *nodeService) ListNodes(ctx context.Context, request *runtimev1.ListNodesRequest) (*runtimev1.ListNodesResponse, error) {
	nodes, err := s.nodes.List(ctx, request.GetVersion())
	if err != nil {
		return nil, err
	}
	return &runtimev1.ListNodesResponse{Nodes: nodeStatuses(nodes)}, nil
}

// WatchNodes implements the rpc.
func (s *nodeService) WatchNodes(request *runtimev1.WatchNodesRequest, stream grpc.ServerStreamingServer[runtimev1.WatchNodesResponse]) error {
	return s.nodes.Watch(stream.Context(), request.GetVersion(), func(nodes []nodestatus.Node) error {
		return stream.Send(&runtimev1.WatchNodesResponse{Nodes: nodeStatuses(nodes)})
	})
}

func nodeStatuses(nodes []nodestatus.Node) []*runtimev1.NodeStatus {
	statuses := make([]*runtimev1.NodeStatus, 0, len(nodes))
	for _, node := range nodes {
		status := &runtimev1.NodeStatus{
			Workflow: valid(node.Workflow), Name: valid(node.Name), State: stateOf(node.State), Reason: valid(node.Reason),
			LastLogLine: valid(node.LastLogLine), Waiting: node.Waiting, Oldest: oldest(node.Load), Expired: node.Expired, Refused: node.Refused,
		}
		for _, warning := range node.Warnings {
			status.Warnings = append(status.Warnings, valid(warning))
		}
		for _, workflow := range node.Workflows {
			status.Workflows = append(status.Workflows, &runtimev1.WorkflowLoad{
				Workflow: valid(workflow.Workflow), Waiting: workflow.Waiting, Oldest: oldest(workflow.Load), Expired: workflow.Expired,
				Refused: workflow.Refused, Unanswered: workflow.Unanswered,
			})
		}
		for _, replica := range node.Replicas {
			one := &runtimev1.ReplicaStatus{
				Index: int32(replica.Index), State: stateOf(replica.State), Reason: valid(replica.Reason),
				LastLogLine: valid(replica.LastLogLine), Restarts: int32(replica.Restarts),
			}
			if !replica.Since.IsZero() {
				one.StateTime = timestamppb.New(replica.Since)
			}
			status.Replicas = append(status.Replicas, one)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// oldest is how long the oldest has waited of what waits.
func oldest(load nodestatus.Load) *durationpb.Duration {
	if load.Waiting == 0 {
		return nil
	}
	return durationpb.New(load.Oldest)
}

func stateOf(state nodestatus.State) runtimev1.NodeState {
	return map[nodestatus.State]runtimev1.NodeState{
		nodestatus.Stopped:  runtimev1.NodeState_NODE_STATE_STOPPED,
		nodestatus.Starting: runtimev1.NodeState_NODE_STATE_STARTING,
		nodestatus.Ready:    runtimev1.NodeState_NODE_STATE_READY,
		nodestatus.Failed:   runtimev1.NodeState_NODE_STATE_FAILED,
	}[state]
}
