// Package grpcapi serves the rpcs of a version over gRPC, as bytes, with health and reflection. It generates no code:
// what it serves is known when it starts.
package grpcapi

import (
	"context"
	"errors"
	"net"
	"runtime"
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
	grpc     *grpc.Server
	health   *health.Server
}

// New returns a server whose health is NOT_SERVING until SetServing.
func New(s *service.Service, x *exchange.Exchange, logger *zap.Logger, options Options) *Server {
	server := &Server{service: s, exchange: x, logger: logger, options: options, health: health.NewServer()}
	const (
		pingsAllowed  = 10 * time.Second
		pingsSent     = 30 * time.Second
		handshake     = 10 * time.Second
		connectionAge = 5 * time.Minute // so that connections spread over new replicas
		streams       = 8192            // of one connection; what is more waits at the caller
	)
	server.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxConcurrentStreams(streams),
		grpc.MaxRecvMsgSize(options.MaxRequestBytes),
		grpc.NumStreamWorkers(uint32(2*runtime.GOMAXPROCS(0))),
		grpc.UnknownServiceHandler(server.unknown),
		grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingsSent, MaxConnectionAge: connectionAge}),
	)
	for _, descriptor := range s.Descriptors {
		server.grpc.RegisterService(server.describe(descriptor), nil)
	}
	grpc_health_v1.RegisterHealthServer(server.grpc, server.health)
	reflect := reflection.ServerOptions{Services: server.grpc, DescriptorResolver: s.Resolver, ExtensionResolver: s.Resolver}
	reflectionv1.RegisterServerReflectionServer(server.grpc, reflection.NewServerV1(reflect))
	reflectionv1alpha.RegisterServerReflectionServer(server.grpc, reflection.NewServer(reflect))
	server.setHealth(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
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
func (s *Server) Serve(listener net.Listener) error {
	if err := s.grpc.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// SetServing makes the health SERVING, or NOT_SERVING for good: a server that stops does not come back.
func (s *Server) SetServing(serving bool) {
	if !serving {
		s.health.Shutdown()
		return
	}
	s.setHealth(grpc_health_v1.HealthCheckResponse_SERVING)
}

func (s *Server) setHealth(status grpc_health_v1.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", status)
	for _, descriptor := range s.service.Descriptors {
		s.health.SetServingStatus(string(descriptor.FullName()), status)
	}
}

// Stop lets the calls that are being answered finish, until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done(): // somebody watches the health, say
		s.grpc.Stop()
		<-done
	}
	return nil
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
