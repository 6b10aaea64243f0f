package rpc

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/kit/fault"
)

// Domain is that of every google.rpc.ErrorInfo.
const Domain = "kre.konstellation.io"

var codeOfKind = map[fault.Kind]codes.Code{
	fault.Internal:        codes.Internal,
	fault.Invalid:         codes.InvalidArgument,
	fault.NotFound:        codes.NotFound,
	fault.Precondition:    codes.FailedPrecondition,
	fault.Exhausted:       codes.ResourceExhausted,
	fault.Unavailable:     codes.Unavailable,
	fault.AlreadyExists:   codes.AlreadyExists,
	fault.Conflict:        codes.Aborted,
	fault.Unauthenticated: codes.Unauthenticated,
}

// Status returns what the caller learns of err, nil meaning OK: a status as it is; a fault with its text, its reason as a
// google.rpc.ErrorInfo, its fields as a google.rpc.BadRequest, and when to come back as a google.rpc.RetryInfo; and of anything
// else only the id to look for in the log.
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
	var details []protoadapt.MessageV1
	if f.Reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: f.Reason, Domain: Domain, Metadata: f.Metadata})
	}
	if len(f.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, field := range f.Fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: field.Path, Description: field.Message})
		}
		details = append(details, bad)
	}
	if f.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
	}
	if len(details) == 0 {
		return answer
	}
	detailed, err := answer.WithDetails(details...)
	if err != nil { // cannot be marshalled; the text alone is better than no answer
		return answer
	}
	return detailed
}

// Fault is the other way round, for who calls another service: the error of a call as a *fault.Error with kind, text,
// reason and fields as the service gave them, and the status as its cause. nil stays nil. That the caller itself gave up
// stays context.Canceled; a deadline that has passed is Unavailable, and so is a service that cannot be reached. A code
// that no kind stands for, and UNAUTHENTICATED, are Internal: it is our configuration that is wrong, not our caller's
// request.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	given, ok := status.FromError(err)
	if !ok {
		return err
	}
	f := fault.Wrap(kindOf(given.Code()), err, "%s", given.Message())
	switch given.Code() {
	case codes.Canceled:
		return errors.Join(context.Canceled, err)
	case codes.DeadlineExceeded:
		f.Message = "a service that is needed did not answer in time"
	}
	for _, detail := range given.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			f.Reason, f.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.RetryInfo:
			f.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				f.Fields = append(f.Fields, fault.Field{Path: v.GetField(), Message: v.GetDescription()})
			}
		}
	}
	return f
}

func kindOf(code codes.Code) fault.Kind {
	switch code {
	case codes.DeadlineExceeded:
		return fault.Unavailable
	case codes.Unauthenticated:
		return fault.Internal
	}
	for kind, one := range codeOfKind {
		if one == code {
			return kind
		}
	}
	return fault.Internal
}
