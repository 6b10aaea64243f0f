package rpc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
)

// RequestIDKey is the metadata under which every answer, good or bad, carries the request's id.
const RequestIDKey = "x-request-id"

const (
	healthPrefix     = "/grpc.health.v1.Health/"
	reflectionPrefix = "/grpc.reflection."
	bearer           = "Bearer "
	// maxLoggedError is how much of an error that is the caller's the log has.
	maxLoggedError = 2 << 10
)

// calls is what happens around every call.
type calls struct {
	log          *zap.Logger
	timeout      time.Duration
	authenticate func(ctx context.Context, method string) (context.Context, error)
	status       func(err error, requestID string) *status.Status
	metrics      *Metrics
	strangers    *log.Seldom // calls of those of whom nobody knows who they are

	max         int            // of one message, bytes
	maxOf       map[string]int // the same, of methods of their own
	budget      *budget.Budget
	room        room
	calls, open *open // unary calls, and streams
	probes      *open

	streams    context.Context //nolint:containedctx // ends when streams are to end
	endStreams context.CancelFunc
}

// errStopping is why a stream has to end.
var errStopping = fault.New(fault.Unavailable, "the service is stopping; call again")

// requestID is the key of the context.
type requestID struct{}

// RequestID is the id of the call that ctx belongs to; empty where it belongs to none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestID{}).(string)
	return id
}

// unary is what happens around a call within the process.
func (c *calls) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	id := rand.Text()
	// Fails only where there is no transport to answer on.
	_ = grpc.SetHeader(ctx, metadata.Pairs(RequestIDKey, id))
	ctx, cancel := c.limited(ctx)
	defer cancel()
	var answer any
	err := c.around(ctx, id, info.FullMethod, c.calls, func(ctx context.Context) (err error) {
		answer, err = handle(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// limited gives a unary call a deadline if it has none.
func (c *calls) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, set := ctx.Deadline(); set {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

// stream is what happens around every call over a connection: unary ones are streams of one message each way here, see
// asStream.
func (c *calls) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	id := rand.Text()
	_ = stream.SetHeader(metadata.Pairs(RequestIDKey, id))
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	receiver := &receiver{
		from: wireOf(ctx), limit: c.maxBytes(info.FullMethod), share: c.budget.Share(), room: &c.room,
	}
	defer receiver.share.Close()
	counted := c.open
	switch {
	case !info.IsClientStream && !info.IsServerStream:
		counted, receiver.unary = c.calls, true
		limited, done := c.limited(ctx)
		defer done()
		ctx = limited
	// What a caller sends, an upload say, comes to an end by itself.
	case !info.IsClientStream, strings.HasPrefix(info.FullMethod, reflectionPrefix):
		defer context.AfterFunc(c.streams, func() { cancel(errStopping) })()
	}
	return c.around(ctx, id, info.FullMethod, counted, func(ctx context.Context) error {
		err := handle(service, &streamWith{ServerStream: stream, ctx: ctx, receiver: receiver})
		if err != nil && errors.Is(context.Cause(ctx), errStopping) {
			return errStopping
		}
		return err
	})
}

// maxBytes bounds one message that a method takes.
func (c *calls) maxBytes(method string) int {
	if strings.HasPrefix(method, healthPrefix) {
		return maxProbeBytes
	}
	if own, has := c.maxOf[method]; has {
		return own
	}
	return c.max
}

// streamWith is a stream with another context, and another way to receive.
type streamWith struct {
	grpc.ServerStream
	ctx      context.Context //nolint:containedctx // it is how grpc hands a context to a stream's handler
	receiver *receiver
}

// Context is that of the call.
func (s *streamWith) Context() context.Context { return s.ctx }

// RecvMsg takes the next message in.
func (s *streamWith) RecvMsg(into any) error {
	message, ok := into.(proto.Message)
	if !ok || s.receiver.from == nil {
		return s.ServerStream.RecvMsg(into)
	}
	return s.receiver.receive(s.ctx, message)
}

// asStream is a unary method as a stream of one message each way, which is the same on the wire. Of a unary method grpc takes
// the message in and unpacks it before it asks anybody; a stream is asked for its message by us, when we know who calls.
func (c *calls) asStream(service string, method grpc.MethodDesc) grpc.StreamDesc {
	info := &grpc.StreamServerInfo{FullMethod: fullName(service, method.MethodName)}
	as := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		return handle(ctx, request)
	}
	handle := func(service any, stream grpc.ServerStream) error {
		answer, err := method.Handler(service, stream.Context(), stream.RecvMsg, as)
		if err != nil {
			return err
		}
		return stream.SendMsg(answer)
	}
	// grpc has interceptors only for what streams in one direction at least.
	return grpc.StreamDesc{StreamName: method.MethodName, Handler: func(service any, stream grpc.ServerStream) error {
		return c.stream(service, stream, info, handle)
	}}
}

// around lets a call through if it may pass, and returns its error as a status.
func (c *calls) around(ctx context.Context, id, method string, counted *open, handle func(ctx context.Context) error) error {
	begun := time.Now()
	ctx = context.WithValue(ctx, requestID{}, id)
	probe := strings.HasPrefix(method, healthPrefix)
	known := probe
	err := recovered(func() (err error) {
		inner := ctx
		if probe {
			counted = c.probes
		} else if inner, err = c.authenticate(ctx, method); err != nil {
			return err
		}
		known = true
		leave, err := counted.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		return handle(inner)
	})
	answer := c.status(err, id)
	took := time.Since(begun)
	level := zap.InfoLevel
	switch {
	case answer.Code() == codes.Internal, answer.Code() == codes.Unknown:
		level = zap.ErrorLevel
	case probe:
		level = zap.DebugLevel // probes come every second
	}
	if !probe {
		c.metrics.Called(method, answer.Code(), took)
	}
	if err != nil && level < zap.ErrorLevel {
		err = errors.New(log.CutAt(err.Error(), maxLoggedError)) // it may hold what the caller sent
	}
	fields := []zap.Field{zap.String("method", method), zap.Stringer("code", answer.Code()),
		zap.Duration("took", took), log.RequestID(id), log.Error(err)}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		fields = append(fields, zap.Stringer("trace_id", span.TraceID()))
	}
	if !known {
		var tell bool
		if fields, tell = c.strangers.Fields(fields); !tell {
			return answer.Err()
		}
	}
	c.log.Log(level, "call", fields...)
	return answer.Err()
}

// byToken lets those call who send the token, comparing in a time that tells nothing about it. An empty one lets anybody.
func byToken(token string) func(context.Context, string) (context.Context, error) {
	want := sha256.Sum256([]byte(bearer + token))
	return func(ctx context.Context, _ string) (context.Context, error) {
		if token == "" {
			return ctx, nil
		}
		given := metadata.ValueFromIncomingContext(ctx, "authorization")
		if len(given) == 1 {
			got := sha256.Sum256([]byte(given[0]))
			if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
				return ctx, nil
			}
		}
		return nil, fault.New(fault.Unauthenticated,
			"the call needs the service's token as bearer in the metadata `authorization`")
	}
}

// recovered turns a panic into an error, so that one call cannot end the process.
func recovered(handle func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return handle()
}
