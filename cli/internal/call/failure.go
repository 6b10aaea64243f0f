package call

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
)

// failure returns the error of a failed call, on several lines: code and message, then each detail, then the request.
func failure(err error, requestID string, types *dynamicpb.Types) error {
	s := status.Convert(err)
	lines := []string{fmt.Sprintf("%s: %s", code.Code(s.Code()), s.Message())}
	for _, detail := range s.Proto().GetDetails() {
		lines = append(lines, detailLines(detail, types)...)
	}
	if requestID != "" {
		lines = append(lines, "  request "+requestID)
	}
	return errors.New(strings.Join(lines, "\n"))
}

func detailLines(detail *anypb.Any, types *dynamicpb.Types) []string {
	message, err := detail.UnmarshalNew()
	if err != nil {
		text, err := protojson.MarshalOptions{UseProtoNames: true, Resolver: types}.Marshal(detail)
		if err != nil {
			return []string{"  " + detail.GetTypeUrl()}
		}
		return []string{"  " + string(text)}
	}
	var lines []string
	switch m := message.(type) {
	case *errdetails.ErrorInfo:
		line := "  " + m.GetReason()
		for _, key := range slices.Sorted(maps.Keys(m.GetMetadata())) {
			line += fmt.Sprintf(" %s=%s", key, m.GetMetadata()[key])
		}
		return []string{line}
	case *errdetails.BadRequest:
		for _, violation := range m.GetFieldViolations() {
			lines = append(lines, fmt.Sprintf("  %s: %s", violation.GetField(), violation.GetDescription()))
		}
		return lines
	}
	return []string{fmt.Sprintf("  %s %s", message.ProtoReflect().Descriptor().FullName(),
		protojson.MarshalOptions{UseProtoNames: true}.Format(message))}
}
