// Package grpcapi serves the rpcs of a version over gRPC, as bytes, with health and reflection. It generates no code:
// what it serves is known when it starts.
package grpcapi

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // so that callers may compress
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/kit/handover"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

// Options of a server.
type Options struct {
	MaxRequestBytes int // of a payload; required
}

// Server serves one version.
type Server struct {
	service  *service.Service
	exchange *exchange.Exchange
	logger   *zap.Logger
	options  Options
	listener net.Listener
	grpc     *handover.GRPC
	health   *health.Server
}

// How connections are treated.
const (
	pingsAllowed  = 10 * time.Second
	pingsSent     = 30 * time.Second
	handshake     = 10 * time.Second
	connectionAge = 5 * time.Minute // so that connections spread over new replicas
	streams       = 8192            // of one connection; what is more waits at the caller
	workers       = 64              // goroutines kept for calls, each taken until its call is answered: their stacks need not grow anew
	leastMoving   = 30 * time.Second
	movingSlack   = 5 * time.Second
)

// New returns a server for the connections of listener. Its health is NOT_SERVING until SetServing.
func New(listener net.Listener, s *service.Service, x *exchange.Exchange, logger *zap.Logger, options Options) *Server {
	server := &Server{service: s, exchange: x, logger: logger, options: options, listener: listener, health: health.NewServer()}
	server.setHealth(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	patience := leastMoving // for calls on connections that are moved
	for _, rpc := range s.RPCs {
		patience = max(patience, rpc.Timeout+movingSlack)
	}
	server.grpc = handover.NewGRPC(listener.Addr(), patience, server.fresh)
	return server
}

// fresh makes a gRPC server with everything that is served.
func (s *Server) fresh() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxConcurrentStreams(streams),
		grpc.MaxRecvMsgSize(s.options.MaxRequestBytes),
		grpc.NumStreamWorkers(workers),
		grpc.UnknownServiceHandler(s.unknown),
		grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingsSent, MaxConnectionAge: connectionAge}),
	)
	for _, descriptor := range s.service.Descriptors {
		server.RegisterService(s.describe(descriptor), nil)
	}
	grpc_health_v1.RegisterHealthServer(server, s.health)
	resolver := s.service.Resolver
	reflect := reflection.ServerOptions{Services: server, DescriptorResolver: resolver, ExtensionResolver: resolver}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(reflect))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(reflect))
	return server
}

func (s *Server) describe(descriptor protoreflect.ServiceDescriptor) *grpc.ServiceDesc {
	d := &grpc.ServiceDesc{ServiceName: string(descriptor.FullName()), Metadata: descriptor.ParentFile().Path()}
	for _, rpc := range s.service.RPCs {
		if rpc.Method.Parent().FullName() == descriptor.FullName() {
			d.Methods = append(d.Methods, grpc.MethodDesc{MethodName: string(rpc.Method.Name()), Handler: s.handler(rpc)})
		}
	}
	return d
}

// Serve serves until Stop.
func (s *Server) Serve() error {
	if err := handover.Accept(s.listener, s.grpc.Hand); err != nil {
		return fmt.Errorf("accepting connections: %w", err)
	}
	return nil
}

// Move leads the connections that are open to their end, in order: they are told to go (GOAWAY), and end when their last
// call is answered, at the latest after 30 seconds or as long as a call may take. New ones are served as before.
func (s *Server) Move() { s.grpc.Move() }

// Moving is how many connections that were open at the last move have not ended.
func (s *Server) Moving() int { return s.grpc.Moving() }

// SetServing makes the health SERVING or NOT_SERVING.
func (s *Server) SetServing(serving bool) {
	if serving {
		s.setHealth(grpc_health_v1.HealthCheckResponse_SERVING)
		return
	}
	s.setHealth(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
}

func (s *Server) setHealth(status grpc_health_v1.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", status)
	for _, descriptor := range s.service.Descriptors {
		s.health.SetServingStatus(string(descriptor.FullName()), status)
	}
}

// Stop lets the calls that are being answered finish, until ctx ends. The health is NOT_SERVING for good.
func (s *Server) Stop(ctx context.Context) error {
	s.health.Shutdown()
	err := s.listener.Close()
	s.grpc.Stop(ctx)
	return err
}

// unknown answers every rpc that is not served.
func (s *Server) unknown(_ any, stream grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(stream)
	id := exchange.NewID()
	if err := setHeader(stream.Context(), exchange.HeaderRequestID, id); err != nil {
		return err
	}
	return exchange.Failure(codes.Unimplemented, exchange.ReasonUnknownRPC, s.service.Unknown(path),
		map[string]string{"request_id": id})
}
