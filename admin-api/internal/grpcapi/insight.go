package grpcapi

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

var nodeStates = map[engine.NodeState]adminv1.Node_State{
	engine.NodeUnknown:  adminv1.Node_UNKNOWN,
	engine.NodeStopped:  adminv1.Node_STOPPED,
	engine.NodeStarting: adminv1.Node_STARTING,
	engine.NodeReady:    adminv1.Node_READY,
	engine.NodeFailed:   adminv1.Node_FAILED,
}

// ListNodes implements the rpc.
func (s *versionService) ListNodes(ctx context.Context, request *adminv1.ListNodesRequest) (*adminv1.ListNodesResponse, error) {
	runtime, version, err := parseVersion("parent", request.GetParent())
	if err != nil {
		return nil, err
	}
	nodes, err := s.engine.ListNodes(ctx, runtime, version)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListNodesResponse)
	for _, node := range nodes {
		response.Nodes = append(response.Nodes, nodeMessage(node))
	}
	return response, nil
}

func nodeMessage(node engine.Node) *adminv1.Node {
	message := &adminv1.Node{
		Workflow: node.Workflow, Name: node.Name, State: nodeStates[node.State], Reason: node.Reason,
		LastLogLine: node.LastLogLine, Warnings: node.Warnings,
		Waiting: node.Waiting, Oldest: oldest(node.Load), Expired: node.Expired, Refused: node.Refused,
	}
	for _, replica := range node.Replicas {
		message.Replicas = append(message.Replicas, &adminv1.Node_Replica{
			Index: int32(replica.Index), State: nodeStates[replica.State], Reason: replica.Reason,
			LastLogLine: replica.LastLogLine, Restarts: int32(replica.Restarts), StateTime: stamp(replica.StateTime),
		})
	}
	for _, workflow := range node.Workflows {
		message.Workflows = append(message.Workflows, &adminv1.WorkflowLoad{
			Workflow: workflow.Workflow, Waiting: workflow.Waiting, Oldest: oldest(workflow.Load), Expired: workflow.Expired,
			Refused: workflow.Refused, Unanswered: workflow.Unanswered,
		})
	}
	return message
}

// oldest is how long the oldest has waited of what waits.
func oldest(load engine.Load) *durationpb.Duration {
	if load.Waiting == 0 {
		return nil
	}
	return durationpb.New(load.Oldest)
}

var logLevels = map[adminv1.LogEntry_Level]engine.LogLevel{
	adminv1.LogEntry_LEVEL_UNSPECIFIED: 0,
	adminv1.LogEntry_DEBUG:             engine.LogDebug,
	adminv1.LogEntry_INFO:              engine.LogInfo,
	adminv1.LogEntry_WARN:              engine.LogWarn,
	adminv1.LogEntry_ERROR:             engine.LogError,
}

func logLevel(level adminv1.LogEntry_Level) (engine.LogLevel, error) {
	known, ok := logLevels[level]
	if !ok {
		return 0, wrong("min_level", fmt.Sprintf("%d is no level; want DEBUG, INFO, WARN or ERROR", level))
	}
	return known, nil
}

// SearchLogs implements the rpc.
func (s *versionService) SearchLogs(ctx context.Context, request *adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error) {
	runtime, version, err := parseVersion("parent", request.GetParent())
	if err != nil {
		return nil, err
	}
	level, err := logLevel(request.GetMinLevel())
	if err != nil {
		return nil, err
	}
	query := engine.LogQuery{
		Version: version, MinLevel: level, Nodes: clean(request.GetNodes()), Workflow: request.GetWorkflow(), Text: request.GetText(),
		RequestID: request.GetRequestId(), OldestFirst: request.GetOldestFirst(), Size: int(request.GetPageSize()), Token: request.GetPageToken(),
	}
	if request.GetStartTime() != nil {
		query.Start = request.GetStartTime().AsTime()
	}
	if request.GetEndTime() != nil {
		query.End = request.GetEndTime().AsTime()
	}
	page, err := s.engine.SearchLogs(ctx, runtime, query)
	if err != nil {
		return nil, err
	}
	response := &adminv1.SearchLogsResponse{NextPageToken: page.NextToken}
	for _, entry := range page.Entries {
		response.Entries = append(response.Entries, entryMessage(entry))
	}
	return response, nil
}

// TailLogs implements the rpc.
func (s *versionService) TailLogs(request *adminv1.TailLogsRequest, stream grpc.ServerStreamingServer[adminv1.TailLogsResponse]) error {
	runtime, version, err := parseVersion("parent", request.GetParent())
	if err != nil {
		return err
	}
	level, err := logLevel(request.GetMinLevel())
	if err != nil {
		return err
	}
	query := engine.LogQuery{
		Version: version, MinLevel: level, Nodes: clean(request.GetNodes()), Workflow: request.GetWorkflow(), Text: request.GetText(),
		Last: int(request.GetLast()),
	}
	return s.engine.TailLogs(stream.Context(), runtime, query, func() error { return opened(stream) }, func(entry engine.LogEntry) error {
		return stream.Send(&adminv1.TailLogsResponse{Entry: entryMessage(entry)})
	})
}

func entryMessage(entry engine.LogEntry) *adminv1.LogEntry {
	message := &adminv1.LogEntry{
		Time: timestamppb.New(entry.Time), Level: adminv1.LogEntry_INFO, Workflow: entry.Workflow, Node: entry.Node,
		Replica: int32(entry.Replica), Message: entry.Message, RequestId: entry.RequestID,
	}
	for level, known := range logLevels {
		if known == entry.Level && known != 0 {
			message.Level = level
		}
	}
	if fields, err := structpb.NewStruct(entry.Fields); err == nil { // they were JSON
		message.Fields = fields
	}
	return message
}
