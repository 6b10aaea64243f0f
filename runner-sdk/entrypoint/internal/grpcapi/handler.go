package grpcapi

import (
	"context"
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

type methodHandler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)

// handler answers the calls of one rpc.
func (s *Server) handler(rpc *service.RPC) methodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (reply any, err error) {
		call, err := s.exchange.Begin(rpc, exchange.NewCaller(func(name string) string { return incoming(ctx, name) }))
		defer func() {
			if cause := recover(); cause != nil { // one call must not end the others
				s.logger.Error("panic", log.RequestID(call.ID), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
				reply, err = nil, call.Broken()
			}
			call.End(err)
		}()
		if err := setHeader(ctx, exchange.HeaderRequestID, call.ID); err != nil {
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		in := request{envelope: rpc.Envelope}
		if err := read(ctx, call, rpc, decode, &in); err != nil {
			return nil, err
		}
		out, err := call.Ask(ctx, in.body)
		if timing := call.Timing(out); timing != "" {
			if err := setHeader(ctx, exchange.HeaderTiming, timing); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, err
		}
		return answer{payload: out.Payload}, nil
	}
}

func setHeader(ctx context.Context, name, value string) error {
	return grpc.SetHeader(ctx, metadata.MD{name: {value}})
}

// read receives the payload and makes sure that it is the rpc's input.
func read(ctx context.Context, call *exchange.Call, rpc *service.RPC, decode func(any) error, in *request) error {
	switch kind := incoming(ctx, "content-type"); kind {
	case "application/grpc", "application/grpc+proto":
	default: // the forced codec would take it for protobuf
		return call.Invalid(fmt.Errorf("content-type %q: want application/grpc; JSON is for the HTTP port", kind))
	}
	if err := decode(in); err != nil { // too large, say: gRPC has told the caller already
		return err
	}
	if err := rpc.Requests.Check(in.payload); err != nil {
		return call.Invalid(err)
	}
	return nil
}

// incoming returns a header of the request, several values joined as HTTP joins them.
func incoming(ctx context.Context, name string) string {
	values := metadata.ValueFromIncomingContext(ctx, name)
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	joined := values[0]
	for _, value := range values[1:] {
		joined += "," + value
	}
	return joined
}
