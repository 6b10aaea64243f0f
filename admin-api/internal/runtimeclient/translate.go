package runtimeclient

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

var nodeStates = map[runtimev1.NodeState]engine.NodeState{
	runtimev1.NodeState_NODE_STATE_STOPPED:  engine.NodeStopped,
	runtimev1.NodeState_NODE_STATE_STARTING: engine.NodeStarting,
	runtimev1.NodeState_NODE_STATE_READY:    engine.NodeReady,
	runtimev1.NodeState_NODE_STATE_FAILED:   engine.NodeFailed,
}

func nodeOf(status *runtimev1.NodeStatus) engine.Node {
	node := engine.Node{
		Workflow: status.GetWorkflow(), Name: status.GetName(), State: nodeStates[status.GetState()], Reason: status.GetReason(),
		LastLogLine: status.GetLastLogLine(), Warnings: status.GetWarnings(),
		Load: engine.Load{
			Waiting: status.GetWaiting(), Oldest: status.GetOldest().AsDuration(), Expired: status.GetExpired(), Refused: status.GetRefused(),
		},
	}
	for _, workflow := range status.GetWorkflows() {
		node.Workflows = append(node.Workflows, engine.WorkflowLoad{Workflow: workflow.GetWorkflow(), Load: engine.Load{
			Waiting: workflow.GetWaiting(), Oldest: workflow.GetOldest().AsDuration(), Expired: workflow.GetExpired(),
			Refused: workflow.GetRefused(), Unanswered: workflow.GetUnanswered(),
		}})
	}
	for _, replica := range status.GetReplicas() {
		node.Replicas = append(node.Replicas, engine.Replica{
			Index: int(replica.GetIndex()), State: nodeStates[replica.GetState()], Reason: replica.GetReason(),
			LastLogLine: replica.GetLastLogLine(), Restarts: int(replica.GetRestarts()), StateTime: timeOf(replica.GetStateTime()),
		})
	}
	return node
}

var levels = map[runtimev1.LogLevel]engine.LogLevel{
	runtimev1.LogLevel_LOG_LEVEL_DEBUG: engine.LogDebug,
	runtimev1.LogLevel_LOG_LEVEL_INFO:  engine.LogInfo,
	runtimev1.LogLevel_LOG_LEVEL_WARN:  engine.LogWarn,
	runtimev1.LogLevel_LOG_LEVEL_ERROR: engine.LogError,
}

func filterOf(query engine.LogQuery) *runtimev1.LogFilter {
	filter := &runtimev1.LogFilter{
		Version: query.Version, StartTime: stamp(query.Start), EndTime: stamp(query.End), Nodes: query.Nodes,
		Workflow: query.Workflow, Text: query.Text, RequestId: query.RequestID,
	}
	for theirs, ours := range levels {
		if ours == query.MinLevel {
			filter.MinLevel = theirs
		}
	}
	return filter
}

func entryOf(entry *runtimev1.LogEntry) engine.LogEntry {
	e := engine.LogEntry{
		Time: timeOf(entry.GetTime()), Level: levels[entry.GetLevel()], Workflow: entry.GetWorkflow(), Node: entry.GetNode(),
		Replica: int(entry.GetReplica()), Message: entry.GetMessage(), RequestID: entry.GetRequestId(),
	}
	if e.Level == 0 {
		e.Level = engine.LogInfo // as the contract has it
	}
	if entry.GetFields() != nil {
		e.Fields = entry.GetFields().AsMap()
	}
	return e
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
