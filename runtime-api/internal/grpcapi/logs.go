package grpcapi

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/kit/fault"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

type logService struct {
	runtimev1.UnimplementedLogServiceServer
	logs *logbook.Service
}

// RegisterLogs registers the LogService with a server.
func RegisterLogs(server grpc.ServiceRegistrar, logs *logbook.Service) {
	runtimev1.RegisterLogServiceServer(server, &logService{logs: logs})
}

// SearchLogs implements the rpc.
func (s *logService) SearchLogs(ctx context.Context, request *runtimev1.SearchLogsRequest) (*runtimev1.SearchLogsResponse, error) {
	filter, err := filterOf(request.GetFilter())
	if err != nil {
		return nil, err
	}
	page, err := s.logs.Search(ctx, logbook.Query{
		Filter: filter, Size: int(request.GetPageSize()), Token: request.GetPageToken(), OldestFirst: request.GetOldestFirst(),
	})
	if err != nil {
		return nil, err
	}
	response := &runtimev1.SearchLogsResponse{NextPageToken: page.NextToken}
	for _, entry := range page.Entries {
		response.Entries = append(response.Entries, entryMessage(entry))
	}
	return response, nil
}

// TailLogs implements the rpc.
func (s *logService) TailLogs(request *runtimev1.TailLogsRequest, stream grpc.ServerStreamingServer[runtimev1.TailLogsResponse]) error {
	filter, err := filterOf(request.GetFilter())
	if err != nil {
		return err
	}
	return s.logs.Tail(stream.Context(), filter, int(request.GetLast()), func(entry logbook.Entry) error {
		return stream.Send(&runtimev1.TailLogsResponse{Entry: entryMessage(entry)})
	})
}

// levels are those of the messages; what is not among them is every level.
var levels = map[runtimev1.LogLevel]logbook.Level{
	runtimev1.LogLevel_LOG_LEVEL_DEBUG: logbook.Debug,
	runtimev1.LogLevel_LOG_LEVEL_INFO:  logbook.Info,
	runtimev1.LogLevel_LOG_LEVEL_WARN:  logbook.Warn,
	runtimev1.LogLevel_LOG_LEVEL_ERROR: logbook.Error,
}

func filterOf(filter *runtimev1.LogFilter) (logbook.Filter, error) {
	start, err := timeOf("filter.start_time", filter.GetStartTime())
	if err != nil {
		return logbook.Filter{}, err
	}
	end, err := timeOf("filter.end_time", filter.GetEndTime())
	if err != nil {
		return logbook.Filter{}, err
	}
	return logbook.Filter{
		Version: filter.GetVersion(), Start: start, End: end, MinLevel: levels[filter.GetMinLevel()], Nodes: filter.GetNodes(),
		Workflow: filter.GetWorkflow(), Text: filter.GetText(), RequestID: filter.GetRequestId(),
	}, nil
}

// timeOf is a time that was sent, zero for none.
func timeOf(field string, stamp *timestamppb.Timestamp) (time.Time, error) {
	if stamp == nil {
		return time.Time{}, nil
	}
	if err := stamp.CheckValid(); err != nil {
		invalid := fault.Wrap(fault.Invalid, err, "%s: this is no time", field)
		invalid.Fields = []fault.Field{{Path: field, Message: "want a time from the year 1 to 9999"}}
		return time.Time{}, invalid
	}
	return stamp.AsTime(), nil
}

func entryMessage(entry logbook.Entry) *runtimev1.LogEntry {
	message := &runtimev1.LogEntry{
		Time: timestamppb.New(entry.Time), Workflow: valid(entry.Workflow), Node: valid(entry.Node), Replica: int32(entry.Replica),
		Message: valid(entry.Message), RequestId: valid(entry.RequestID),
	}
	for theirs, ours := range levels {
		if ours == entry.Level {
			message.Level = theirs
		}
	}
	if len(entry.Fields) > 0 {
		// What was read from JSON can be written: encoding/json leaves nothing that is no UTF-8.
		message.Fields, _ = structpb.NewStruct(entry.Fields)
	}
	return message
}

// valid is text that can be sent.
func valid(text string) string { return strings.ToValidUTF8(text, "�") }
