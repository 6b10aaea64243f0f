package rpc

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/konstellation-io/kre/kit/socket"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// ClientOptions are what may be other than usual.
type ClientOptions struct {
	// Token is sent with every call as bearer token in the metadata `authorization`. Empty: none.
	Token string
	// MaxResponseBytes bounds one message of an answer. 0: 16 MiB.
	MaxResponseBytes int
	// Telemetry gets the traces of calls.
	Telemetry telemetry.Telemetry
}

const (
	defaultMaxResponseBytes = 16 << 20
	// maxReconnect is the longest pause between two attempts to connect: services come back within seconds.
	maxReconnect = time.Second
	// A connection on which nothing is heard for pingAfter and whose ping is not answered within pingTimeout is given up.
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
)

// Dial returns a connection to the service at addr (host:port, or unix:PATH, which package socket knows), in plain text. It connects with the first call and again
// whenever the connection is lost; a call made while there is none is `UNAVAILABLE` unless it is made with
// grpc.WaitForReady. Each call needs a deadline of its own. The caller closes the connection.
func Dial(addr string, opts ClientOptions) (*grpc.ClientConn, error) {
	if opts.MaxResponseBytes == 0 {
		opts.MaxResponseBytes = defaultMaxResponseBytes
	}
	with := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(opts.MaxResponseBytes)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
	}
	if opts.Token != "" {
		with = append(with, grpc.WithPerRPCCredentials(token(opts.Token)))
	}
	if opts.Telemetry.Traces != nil {
		with = append(with, grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(opts.Telemetry.Traces), otelgrpc.WithPropagators(opts.Telemetry.Propagator()))))
	}
	target := addr
	if _, ok := socket.Path(addr); ok {
		target = "passthrough:" + addr
		with = append(with, grpc.WithAuthority("localhost"), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return socket.Dial(ctx, addr)
		}))
	}
	conn, err := grpc.NewClient(target, with...)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", addr, err)
	}
	return conn, nil
}

// token is sent with every call.
type token string

// GetRequestMetadata is the token as the server looks for it.
func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": bearer + string(t)}, nil
}

// RequireTransportSecurity is false: inside a cluster or a machine, who may connect is decided elsewhere.
func (token) RequireTransportSecurity() bool { return false }
