package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
)

// connectError is a status as connect has it; the codes are the same numbers.
func connectError(err error) *connect.Error {
	from := status.Convert(err)
	to := connect.NewError(connect.Code(from.Code()), errors.New(from.Message()))
	for _, detail := range from.Proto().GetDetails() {
		if converted, err := connect.NewErrorDetail(detail); err == nil {
			to.AddDetail(converted)
		}
	}
	if delay := exchange.RetryAfter(err); delay > 0 {
		seconds := (delay + time.Second - 1) / time.Second // whole ones, which is all that the header knows
		to.Meta().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	return to
}

// refuse answers a request that is not looked at any further.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.write(&translator{ResponseWriter: w, visit: &visit{answered: true, err: err}}, r, err)
}

// notFound answers a request for a path that there is not.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, codes.Unimplemented, exchange.ReasonUnknownRPC, s.service.Unknown(r.URL.Path))
}

func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	s.fail(w, r, http.StatusMethodNotAllowed, codes.Unimplemented, exchange.ReasonInvalid,
		fmt.Sprintf("%s takes %s, not %s", r.URL.Path, allowed, shown(r.Method)))
}

// fail answers with an HTTP status of its own, where the protocol of the request shows one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, code int, grpcCode codes.Code, reason, message string) {
	id := exchange.NewID()
	w.Header().Set(exchange.HeaderRequestID, id)
	err := exchange.Failure(grpcCode, reason, message, map[string]string{"request_id": id})
	s.write(&translator{ResponseWriter: w, visit: &visit{answered: true, err: err}, code: code}, r, err)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, err error) {
	if err := s.errors.Write(w, r, connectError(err)); err != nil {
		s.logger.Debug("writing an answer", log.Error(err), zap.String("path", r.URL.Path))
	}
}

// shown bounds what is repeated of a caller's text.
func shown(text string) string {
	const most = 60
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// translator gives answers the HTTP status and the words that connect does not: it makes one of too many bytes 413, and
// explains 415.
type translator struct {
	http.ResponseWriter
	visit *visit
	code  int // instead of whatever error status; 0: as below
}

// WriteHeader translates the status.
func (t *translator) WriteHeader(code int) {
	switch {
	case code == http.StatusUnsupportedMediaType:
		t.unsupported()
		return
	case code >= http.StatusBadRequest && t.code != 0:
		code = t.code
	case code == http.StatusTooManyRequests && t.tooLarge():
		code = http.StatusRequestEntityTooLarge
	}
	t.ResponseWriter.WriteHeader(code)
}

// tooLarge reports whether the request has too many bytes; that is the only thing that is exhausted while it is read.
func (t *translator) tooLarge() bool {
	return !t.visit.answered || exchange.Reason(t.visit.err) == exchange.ReasonTooLarge
}

func (t *translator) unsupported() {
	t.Header().Set("Content-Type", "application/json")
	t.ResponseWriter.WriteHeader(http.StatusUnsupportedMediaType)
	// A caller who is gone does not read it.
	_, _ = t.Write([]byte(`{"code":"invalid_argument","message":"unsupported content-type; want application/json ` +
		`(curl --json sets it), application/proto, or one of gRPC-Web"}`))
}

// Flush makes gRPC's frames leave at once.
func (t *translator) Flush() {
	if flusher, ok := t.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (t *translator) Unwrap() http.ResponseWriter { return t.ResponseWriter }
