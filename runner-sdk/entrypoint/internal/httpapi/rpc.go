package httpapi

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

// compressFrom is the size in bytes from which an answer is compressed, if the caller takes that.
const compressFrom = 1024

// visit is one request on its way through connect, which calls answer in the middle of it.
type visit struct {
	call     *exchange.Call
	response http.ResponseWriter
	control  *http.ResponseController
	answered bool  // answer ran: err is its result
	err      error // a status
}

type visitKey struct{}

// rpc answers the calls of one rpc, in whatever protocol they come.
func (s *Server) rpc(rpc *service.RPC) http.HandlerFunc {
	convert := converter{rpc: rpc, resolver: s.service.Resolver}
	handler := connect.NewUnaryHandler(rpc.Path,
		func(ctx context.Context, request *connect.Request[message]) (*connect.Response[message], error) {
			return s.answer(ctx, convert, request.Msg)
		},
		connect.WithCodec(codec{name: codecProto, convert: convert}),
		connect.WithCodec(codec{name: codecJSON, convert: convert}),
		connect.WithCodec(codec{name: codecJSONUTF8, convert: convert}),
		connect.WithReadMaxBytes(s.options.MaxRequestBytes),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithSchema(rpc.Method),
	)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			s.wrongMethod(w, r, http.MethodPost)
			return
		}
		s.serve(handler, rpc, w, r)
	}
}

func (s *Server) serve(handler http.Handler, rpc *service.RPC, w http.ResponseWriter, r *http.Request) {
	call, err := s.exchange.Begin(rpc, exchange.NewCaller(func(name string) string {
		return strings.Join(r.Header.Values(name), ",")
	}))
	w.Header().Set(exchange.HeaderRequestID, call.ID)
	if err == nil && r.ContentLength > int64(s.options.MaxRequestBytes) && !enveloped(r) {
		err = call.OverLimit(s.options.MaxRequestBytes)
	}
	if err != nil {
		s.refuse(w, r, err)
		call.End(err)
		return
	}
	v := &visit{call: call, response: w, control: http.NewResponseController(w)}
	v.limitReading(time.Now().Add(bodyTimeout))
	defer func() { call.End(v.outcome()) }()
	handler.ServeHTTP(&translator{ResponseWriter: w, visit: v}, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
}

// enveloped reports whether the body is more than the message.
func enveloped(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// answer is the middle of a request: its payload has been read.
func (s *Server) answer(ctx context.Context, convert converter, in *message) (out *connect.Response[message], err error) {
	v, _ := ctx.Value(visitKey{}).(*visit)
	defer func() {
		if cause := recover(); cause != nil {
			s.logger.Error("panic", log.RequestID(v.call.ID), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			err = v.call.Broken()
		}
		if v.answered, v.err = true, err; err != nil {
			out, err = nil, connectError(err)
		}
	}()
	v.limitReading(time.Time{})
	if in.err != nil {
		return nil, v.call.Invalid(in.err)
	}
	if in.body == nil { // an empty message may not even be looked at
		in.body, _ = convert.rpc.Envelope.Wrap(0)
	}
	got, err := v.call.Ask(ctx, in.body)
	if timing := v.call.Timing(got); timing != "" {
		v.response.Header().Set(exchange.HeaderTiming, timing)
	}
	if err != nil {
		return nil, err
	}
	text := got.Payload
	if in.json {
		if text, err = convert.toJSON(got.Payload); err != nil {
			return nil, v.call.Unreadable(got, err)
		}
	}
	return connect.NewResponse(&message{encoded: text}), nil
}

// limitReading bounds the time in which the body has to arrive. A deadline that stayed would look like a caller who
// went away while the answer is waited for.
func (v *visit) limitReading(until time.Time) {
	// Where the deadline cannot be set the connection is gone, which reading tells.
	_ = v.control.SetReadDeadline(until)
}

// outcome is the error that the caller was answered with.
func (v *visit) outcome() error {
	if v.answered {
		return v.err
	}
	return status.Error(codes.InvalidArgument, "the request could not be read")
}
