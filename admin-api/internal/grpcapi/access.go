package grpcapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
)

// administrator is the identity that the administrator's token stands for.
const administrator = "admin"

const reasonUnauthenticated = "ERROR_REASON_UNAUTHENTICATED"

// Administrator lets those in who send the administrator's token, and tells the engine who they are. It is the one place that
// knows who may call.
func Administrator(token string) func(ctx context.Context, method string) (context.Context, error) {
	want := sha256.Sum256([]byte(token))
	return func(ctx context.Context, _ string) (context.Context, error) {
		for _, given := range metadata.ValueFromIncomingContext(ctx, "authorization") {
			scheme, credential, _ := strings.Cut(given, " ")
			got := sha256.Sum256([]byte(strings.TrimSpace(credential)))
			if strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
				return engine.WithActor(ctx, administrator), nil
			}
		}
		return nil, fault.New(fault.Unauthenticated, "the call needs the administrator's token, as `Authorization: Bearer …` "+
			"(gRPC: metadata `authorization`); `kre up` leaves it in secrets/admin.token of its data directory").For(reasonUnauthenticated)
	}
}

// reasons are those of errors that have no more precise one.
var reasons = map[fault.Kind]string{
	fault.Invalid:         engine.ReasonInvalidRequest,
	fault.Precondition:    engine.ReasonWrongState,
	fault.Exhausted:       engine.ReasonTooLarge,
	fault.Unavailable:     engine.ReasonUnavailable,
	fault.Conflict:        engine.ReasonConflict,
	fault.Unauthenticated: reasonUnauthenticated,
}

const reasonInternal = "ERROR_REASON_INTERNAL"

// Status is what the caller learns of an error: every one has a reason.
func Status(err error, requestID string) *status.Status {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		if known.Reason != "" {
			return rpc.Status(err, requestID)
		}
		if reason, ok := reasons[known.Kind]; ok {
			told := *known
			return rpc.Status(told.For(reason), requestID)
		}
	}
	answer := rpc.Status(err, requestID)
	if _, already := status.FromError(err); already || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return answer
	}
	return rpc.Status(fault.Wrap(fault.Internal, err, "%s", answer.Message()).For(reasonInternal, "request_id", requestID), requestID)
}
