package rpc

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/fault"
)

var codeOfKind = map[fault.Kind]codes.Code{
	fault.Internal:     codes.Internal,
	fault.Invalid:      codes.InvalidArgument,
	fault.NotFound:     codes.NotFound,
	fault.Precondition: codes.FailedPrecondition,
	fault.Exhausted:    codes.ResourceExhausted,
	fault.Unavailable:  codes.Unavailable,
}

// Status returns what the caller learns of err, nil meaning OK: a status as it is, a fault with its text and its fields
// as a google.rpc.BadRequest, and of anything else only the id to look for in the log.
func Status(err error, requestID string) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	var known *fault.Error
	switch {
	case errors.As(err, &known) && known.Kind != fault.Internal:
		return ofFault(known)
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the caller has gone")
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the deadline has passed")
	}
	if given, ok := status.FromError(err); ok {
		return given
	}
	return status.Newf(codes.Internal, "internal error; the log tells more under request %s", requestID)
}

func ofFault(f *fault.Error) *status.Status {
	answer := status.New(codeOfKind[f.Kind], f.Message)
	if len(f.Fields) == 0 {
		return answer
	}
	bad := &errdetails.BadRequest{}
	for _, field := range f.Fields {
		bad.FieldViolations = append(bad.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: field.Path, Description: field.Message})
	}
	detailed, err := answer.WithDetails(bad)
	if err != nil { // cannot be marshalled; the text alone is better than no answer
		return answer
	}
	return detailed
}
