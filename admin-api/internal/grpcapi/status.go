package grpcapi

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// self is the name under which this service is told as the one that does not answer.
const self = "admin-api"

// reasons are those of errors that tell no more precise one: what grpc refuses by itself, and what nobody foresaw.
var reasons = map[codes.Code]adminv1.ErrorReason{
	codes.InvalidArgument:    adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
	codes.FailedPrecondition: adminv1.ErrorReason_ERROR_REASON_WRONG_STATE,
	codes.ResourceExhausted:  adminv1.ErrorReason_ERROR_REASON_TOO_LARGE,
	codes.Unavailable:        adminv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
	codes.Aborted:            adminv1.ErrorReason_ERROR_REASON_CONFLICT,
	codes.Unauthenticated:    adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED,
	codes.Internal:           adminv1.ErrorReason_ERROR_REASON_INTERNAL,
}

// Status is what the caller learns of an error: every one that is ours has a reason. A caller that has gone, or whose
// deadline has passed, needs none.
func Status(err error, requestID string) *status.Status {
	answer := rpc.Status(err, requestID)
	reason, ours := reasons[answer.Code()]
	if !ours || hasReason(answer) {
		return answer
	}
	info := &errdetails.ErrorInfo{Reason: reason.String(), Domain: rpc.Domain}
	switch answer.Code() {
	case codes.Internal:
		info.Metadata = map[string]string{"request_id": requestID}
	case codes.Unavailable:
		info.Metadata = map[string]string{"service": self}
	}
	return withInfo(answer, info)
}

func hasReason(answer *status.Status) bool {
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == rpc.Domain {
			return true
		}
	}
	return false
}

// withInfo puts an ErrorInfo before the details that there are.
func withInfo(answer *status.Status, info *errdetails.ErrorInfo) *status.Status {
	first, err := anypb.New(info)
	if err != nil { // a text that is no UTF-8; the rest is better than no answer
		return answer
	}
	whole := answer.Proto()
	whole.Details = append([]*anypb.Any{first}, whole.GetDetails()...)
	return status.FromProto(whole)
}

// callFailed is the error of a version as the caller of CallVersion learns it: as the version gave it, and that it did.
func callFailed(version string, err error) error {
	said, ok := err.(interface{ GRPCStatus() *status.Status }) //nolint:errorlint // one that is wrapped is not the version's
	if !ok {
		return err
	}
	answer := said.GRPCStatus()
	if answer.Code() == codes.Unauthenticated { // to us the caller is known
		whole := answer.Proto()
		whole.Code = int32(codes.PermissionDenied)
		answer = status.FromProto(whole)
	}
	return withInfo(answer, &errdetails.ErrorInfo{
		Reason: adminv1.ErrorReason_ERROR_REASON_CALL_FAILED.String(), Domain: rpc.Domain, Metadata: map[string]string{"version": version},
	}).Err()
}
