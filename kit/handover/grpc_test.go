package handover_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/konstellation-io/kre/kit/handover"
)

// patience is how long a condition may take to come true: far more than it does, so that a busy machine fails no test.
const patience = time.Minute

// port is a gRPC port that is served by one server after another.
type port struct {
	*handover.GRPC
	servers  atomic.Int64
	address  string
	answered func(ctx context.Context) // called in each call
}

func open(t *testing.T, allowed time.Duration) *port {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &port{address: listener.Addr().String(), answered: func(context.Context) {}}
	p.GRPC = handover.NewGRPC(listener.Addr(), allowed, func() *grpc.Server {
		p.servers.Add(1)
		server := grpc.NewServer(grpc.UnaryInterceptor(
			func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
				p.answered(ctx)
				return handle(ctx, request)
			}))
		healthpb.RegisterHealthServer(server, health.NewServer())
		return server
	})
	accepting := make(chan error, 1)
	go func() { accepting <- handover.Accept(listener, p.Hand) }()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		require.NoError(t, <-accepting)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.Stop(ctx)
	})
	return p
}

func (p *port) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+p.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	return conn
}

func call(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func TestMovingFailsNoCallOnLongLivedOrFreshConnections(t *testing.T) {
	p := open(t, patience)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var callers sync.WaitGroup
	var calls atomic.Int64
	over := make(chan struct{})
	again := func(once func() error) {
		callers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := once(); err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				calls.Add(1)
			}
		})
	}
	shared := p.dial(t)
	for range 8 {
		again(func() error { return call(ctx, shared) })
		again(func() error {
			conn := p.dial(t)
			defer func() { _ = conn.Close() }()
			return call(ctx, conn)
		})
	}
	const moves = 60
	for i := range moves {
		p.Move()
		require.Eventually(t, func() bool { return calls.Load() > int64(20*i) }, patience, time.Millisecond, "calls go on")
	}
	close(over)
	callers.Wait()
	require.NoError(t, shared.Close())
	require.EqualValues(t, moves+1, p.servers.Load())
	require.Eventually(t, func() bool { return p.Moving() == 0 }, patience, time.Millisecond, "all have moved")
}

func TestACallThatIsBeingAnsweredWhileItsConnectionMovesIsAnswered(t *testing.T) {
	p := open(t, patience)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	p.answered = func(ctx context.Context) {
		if calls.Add(1) > 1 {
			return
		}
		close(arrived)
		select {
		case <-goOn:
		case <-ctx.Done():
		}
	}
	conn := p.dial(t)
	defer func() { _ = conn.Close() }()
	answer := make(chan error, 1)
	go func() { answer <- call(t.Context(), conn) }()
	<-arrived
	p.Move()
	require.NoError(t, call(t.Context(), conn), "the next call is answered by whichever server")
	require.Equal(t, 1, p.Moving())
	close(goOn)
	require.NoError(t, <-answer)
	require.Eventually(t, func() bool { return p.Moving() == 0 }, patience, time.Millisecond, "it has ended")
}

func TestWhoStaysIsSentAwayWhenThePatienceIsOver(t *testing.T) {
	p := open(t, 10*time.Millisecond)
	conn := p.dial(t)
	defer func() { _ = conn.Close() }()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	p.Move()
	_, err = watch.Recv()
	require.Error(t, err)
	require.Eventually(t, func() bool { return p.Moving() == 0 }, patience, time.Millisecond, "it has ended")
}

func TestNothingIsServedAfterTheEnd(t *testing.T) {
	p := open(t, patience)
	p.Move()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p.Stop(ctx)
	p.Move()
	conn := p.dial(t)
	defer func() { _ = conn.Close() }()
	require.Error(t, call(ctx, conn))
	require.EqualValues(t, 2, p.servers.Load())
}
