package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// failed answers with an error: one of a call as it is; one of the gateway, which could not read the request, explained.
func (a *api) failed(w http.ResponseWriter, r *http.Request, err error) {
	var routed *runtime.HTTPStatusError
	if errors.As(err, &routed) {
		err = routed.Err
	}
	var ours *fault.Error
	answer, called := status.FromError(err)
	switch {
	case errors.As(err, &ours):
		answer, called = a.status(err, ""), false
	case answer.Code() == codes.InvalidArgument && len(answer.Details()) == 0:
		answer, called = rpc.Status(a.explained(r, answer.Message()), ""), false
	}
	if !called { // calls have their own line
		a.tell(r, answer)
	}
	a.answer(w, httpCode(answer), answer)
}

// tell logs a request that did not become a call; of those of unknown callers, some.
func (a *api) tell(r *http.Request, answer *status.Status) {
	fields := []zap.Field{zap.String("method", log.Cut(r.Method+" "+r.URL.Path)), zap.Stringer("code", answer.Code()),
		log.Error(errors.New(log.Cut(answer.Message())))}
	if answer.Code() == codes.Unauthenticated {
		var tell bool
		if fields, tell = a.strangers.Fields(fields); !tell {
			return
		}
	}
	a.log.Info("call", fields...)
}

// explained is the error of a request that the gateway could not read, complaint being how it said so.
func (a *api) explained(r *http.Request, complaint string) error {
	if bound, found := find(a.bindings, r.Method, r.URL.Path); found {
		var body []byte
		if kept, ok := r.Body.(kept); ok {
			body = kept.whole
		}
		if wrong := bound.explain(r.URL.Query(), body); len(wrong) > 0 {
			return invalid(wrong)
		}
	}
	return fault.New(fault.Invalid, "the request cannot be read: %s", complaint).
		For(adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST.String())
}

// invalid is the error of a request in which fields are wrong.
func invalid(wrong []fault.Field) error {
	texts := make([]string, len(wrong))
	for i, field := range wrong {
		texts[i] = field.Path + ": " + field.Message
	}
	f := fault.New(fault.Invalid, "%s", strings.Join(texts, "; ")).For(adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST.String())
	f.Fields = wrong
	return f
}

// lost answers who asks for what is not there.
func (a *api) lost(w http.ResponseWriter, r *http.Request, code int) {
	path := log.Cut(r.URL.Path)
	switch code {
	case http.StatusMethodNotAllowed:
		methods := allowed(a.bindings, r.URL.Path)
		w.Header().Set("Allow", strings.Join(methods, ", "))
		a.answer(w, code, status.Newf(codes.Unimplemented, "%s is not what can be done at %s; there is %s", log.Cut(r.Method), path,
			strings.Join(methods, ", ")))
	case http.StatusBadRequest:
		a.answer(w, code, status.Newf(codes.InvalidArgument, "%s is no path", path))
	default:
		a.answer(w, code, status.Newf(codes.NotFound, "there is nothing at %s; /openapi.json describes what there is", path))
	}
}

func (a *api) answer(w http.ResponseWriter, code int, answer *status.Status) {
	header := w.Header()
	header.Del("Trailer")
	header.Del("Transfer-Encoding")
	header.Set("Content-Type", plain)
	if answer.Code() == codes.Unauthenticated {
		header.Set("WWW-Authenticate", `Bearer realm="KRE"`)
	}
	if after := retryAfter(answer); after > 0 {
		header.Set("Retry-After", fmt.Sprint(int(math.Ceil(after.Seconds()))))
	}
	text := a.marshalStatus(answer)
	w.WriteHeader(code)
	_, _ = w.Write(text) // a caller that has gone needs none
}

// retryAfter is when the same request is worth making again, 0 if nothing is known of that.
func retryAfter(answer *status.Status) time.Duration {
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	if answer.Code() == codes.Unavailable {
		return time.Second
	}
	return 0
}

// marshalStatus is a google.rpc.Status as JSON, less those details whose types nobody here knows: those of a version's own
// answers, say.
func (a *api) marshalStatus(answer *status.Status) []byte {
	whole := answer.Proto()
	var details []*anypb.Any
	for _, detail := range whole.GetDetails() {
		if _, err := detail.UnmarshalNew(); err == nil {
			details = append(details, detail)
		}
	}
	whole.Details = details
	text, err := a.json.Marshal(whole)
	if err != nil { // a text that is no UTF-8
		return fmt.Appendf(nil, `{"code": %d, "message": "the error cannot be told", "details": []}`, answer.Code())
	}
	return text
}

// httpCode is the one that google.rpc.Code documents, except that what is too large says so.
func httpCode(answer *status.Status) int {
	for _, detail := range answer.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if ok && info.GetReason() == adminv1.ErrorReason_ERROR_REASON_TOO_LARGE.String() && answer.Code() == codes.ResourceExhausted {
			return http.StatusRequestEntityTooLarge
		}
	}
	return runtime.HTTPStatusFromCode(answer.Code())
}
