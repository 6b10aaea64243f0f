// Package rpc is what every gRPC server of the engine has in common: limits, health, reflection, a request id, one line
// in the log for each call, recovery from panics, and errors of kit/fault turned into statuses. It knows no service.
package rpc

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/konstellation-io/kre/kit/log"
)

// Options are what may be other than usual.
type Options struct {
	// Token is what callers must send as bearer token in the metadata `authorization`; health checks need none. Empty:
	// anybody may call.
	Token string
	// Timeout bounds unary calls whose caller has set no deadline. 0: 30 s.
	Timeout time.Duration
	// MaxRequestBytes bounds one request message. 0: 4 MiB.
	MaxRequestBytes int
}

const (
	defaultTimeout         = 30 * time.Second
	defaultMaxRequestBytes = 4 << 20
)

// Server is a gRPC server with health and reflection. Services are registered with it, then Serve is called.
type Server struct {
	*grpc.Server
	Health *health.Server // all services are serving until told otherwise

	log *zap.Logger
}

// NewServer returns a server that serves nothing yet.
func NewServer(logger *zap.Logger, opts Options) *Server {
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxRequestBytes == 0 {
		opts.MaxRequestBytes = defaultMaxRequestBytes
	}
	calls := &calls{log: logger, token: opts.Token, timeout: opts.Timeout}
	server := &Server{
		Server: grpc.NewServer(
			grpc.ChainUnaryInterceptor(calls.unary),
			grpc.ChainStreamInterceptor(calls.stream),
			grpc.MaxRecvMsgSize(opts.MaxRequestBytes),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		),
		Health: health.NewServer(),
		log:    logger,
	}
	grpc_health_v1.RegisterHealthServer(server, server.Health)
	reflection.Register(server)
	return server
}

// Serve answers calls on listener until Stop is called.
func (s *Server) Serve(listener net.Listener) error {
	s.log.Info("serving", zap.String("protocol", "grpc"), zap.Stringer("address", listener.Addr()))
	return s.Server.Serve(listener)
}

// Stop says NOT_SERVING, takes no new calls and waits for the ones that run; when ctx ends before them, they are cut off.
func (s *Server) Stop(ctx context.Context) error {
	s.Health.Shutdown()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.log.Warn("calls cut off", log.Error(ctx.Err()))
		s.Server.Stop()
		<-done
		return nil
	}
}
