// Package rpc is what every gRPC server of the engine has in common: limits, health, reflection, a request id, one line
// in the log for each call, metrics, recovery from panics, and errors of kit/fault turned into statuses; and what every
// caller of one has: see Dial and Fault. It knows no service.
package rpc

import (
	"context"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// Options are what may be other than usual.
type Options struct {
	// Token is what callers must send as bearer token in the metadata `authorization`; health checks need none. Empty:
	// anybody may call.
	Token string
	// Authenticate, where set, decides in place of Token who may call: it is asked before each call, health checks
	// excepted, with the call's context (metadata.ValueFromIncomingContext has what the caller sent) and full method, and
	// returns the context that the handler gets, or why the call may not be made: a fault, normally Unauthenticated.
	Authenticate func(ctx context.Context, method string) (context.Context, error)
	// Status, where set, takes the place of the function Status: it tells what the caller learns of the error of a call.
	Status func(err error, requestID string) *status.Status
	// Timeout bounds unary calls whose caller has set no deadline. 0: 30 s.
	Timeout time.Duration
	// MaxRequestBytes bounds one request message, as it is sent and once it is unpacked. 0: 4 MiB.
	MaxRequestBytes int
	// MaxRequestBytesOf is the same for methods that take more or less than others, by full method.
	MaxRequestBytesOf map[string]int
	// Budget bounds what is taken in the messages that are received, read and held by calls at once, those up to 64 KiB
	// excepted, which the number of calls bounds. nil: 64 MiB.
	Budget *budget.Budget
	// MaxCalls bounds the unary calls that run at once. 0: 1,000.
	MaxCalls int
	// MaxStreams bounds the other calls that are open at once, watches say. 0: 1,000.
	MaxStreams int
	// MaxStreamsOfOne bounds those of one connection. 0: as many as MaxStreams.
	MaxStreamsOfOne int
	// Telemetry gets the metrics and traces of calls. One server of a program has it.
	Telemetry telemetry.Telemetry
}

const (
	defaultTimeout         = 30 * time.Second
	defaultMaxRequestBytes = 4 << 20
	// Clients may ask for a sign of life this often, calls or not; and we ask one of whom nothing is heard for so long, so
	// that the streams of callers that are gone without a word end.
	minPingInterval = 5 * time.Second
	pingIdleClients = time.Minute
	// streamGrace is how long a stream may go on when the server is told to stop. Many never end by themselves, and their
	// callers begin them again.
	streamGrace = 500 * time.Millisecond
)

// Server is a gRPC server with health and reflection. Services are registered with it, then Serve is called.
type Server struct {
	*grpc.Server
	Health *health.Server // all services are serving until told otherwise

	log    *zap.Logger
	calls  *calls
	traced bool
	local  map[string]method // what Local calls, by full name
}

// What a stream, and all of a connection, may send ahead of who reads it. gRPC would let it grow to 16 MiB where a
// connection is fast, all of it held in memory. A message that is being read may come as a whole.
const (
	streamWindow = smallBytes
	connWindow   = 4 << 20
)

// NewServer returns a server that serves nothing yet.
func NewServer(logger *zap.Logger, opts Options) *Server {
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxRequestBytes == 0 {
		opts.MaxRequestBytes = defaultMaxRequestBytes
	}
	if opts.Budget == nil {
		opts.Budget = budget.New(defaultBudget)
	}
	if opts.MaxCalls == 0 {
		opts.MaxCalls = defaultMaxCalls
	}
	if opts.MaxStreams == 0 {
		opts.MaxStreams = defaultMaxStreams
	}
	calls := &calls{
		log: logger, timeout: opts.Timeout, authenticate: opts.Authenticate, status: opts.Status,
		metrics: NewMetrics(opts.Telemetry.Metrics), strangers: log.NewSeldom(),
		max: opts.MaxRequestBytes, maxOf: opts.MaxRequestBytesOf, budget: opts.Budget,
		calls: &open{most: opts.MaxCalls, what: "calls", advice: "try again in a moment"},
		open: &open{most: opts.MaxStreams, mostOfOne: opts.MaxStreamsOfOne, what: "streams (watches, logs that are followed, uploads)",
			advice: "end those that nobody reads, or share one"},
		probes: &open{most: maxProbes, what: "probes", advice: "ask less often, and end the streams"},
	}
	calls.streams, calls.endStreams = context.WithCancel(context.Background())
	if calls.status == nil {
		calls.status = Status
	}
	if calls.authenticate == nil {
		calls.authenticate = byToken(opts.Token)
	}
	with := []grpc.ServerOption{
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ChainStreamInterceptor(calls.stream), // unary calls are streams too, see asStream
		grpc.MaxConcurrentStreams(uint32(opts.MaxCalls + opts.MaxStreams)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxRecvMsgSize(opts.MaxRequestBytes), // where it is asked at all, see receiver
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingIdleClients, Timeout: pingTimeout}),
	}
	if opts.Telemetry.Traces != nil {
		with = append(with, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(opts.Telemetry.Traces), otelgrpc.WithPropagators(opts.Telemetry.Propagator()),
			otelgrpc.WithFilter(filters.Not(filters.HealthCheck())))))
	}
	server := &Server{
		Server: grpc.NewServer(with...), Health: health.NewServer(),
		log: logger, calls: calls, traced: opts.Telemetry.Traces != nil, local: make(map[string]method),
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

// Streams is how many calls that are not unary are open.
func (s *Server) Streams() int {
	s.calls.open.mu.Lock()
	defer s.calls.open.mu.Unlock()
	return s.calls.open.all
}

// Stop says NOT_SERVING, takes no new calls and waits for the ones that run; when ctx ends before them, they are cut off.
// The contexts of streams on which the server alone goes on sending are cancelled after a moment, and their callers are
// told UNAVAILABLE.
func (s *Server) Stop(ctx context.Context) error {
	s.Health.Shutdown()
	defer time.AfterFunc(streamGrace, s.calls.endStreams).Stop()
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
