package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/rpc"
)

const (
	doMethod    = "/test.Service/Do"
	watchMethod = "/test.Service/Watch"
)

// fixture is a server with one service, whose methods do what the test wants.
type fixture struct {
	*grpc.ClientConn
	server *rpc.Server
	log    *written
	do     func(context.Context) error
}

// written is what a server has logged, read while it runs.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(data)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func serve(t *testing.T, opts rpc.Options, do func(context.Context) error) *fixture {
	t.Helper()
	f := &fixture{log: new(written), do: do}
	logger, err := log.NewWriter(log.Flags{}, f.log)
	require.NoError(t, err)
	f.server = rpc.NewServer(logger, opts)
	f.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Service",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Do", Handler: func(_ any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			request := new(emptypb.Empty)
			if err := decode(request); err != nil {
				return nil, err
			}
			return around(ctx, request, &grpc.UnaryServerInfo{FullMethod: doMethod}, func(ctx context.Context, _ any) (any, error) {
				return new(emptypb.Empty), f.do(ctx)
			})
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			return f.do(stream.Context())
		}}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(listener) }()
	t.Cleanup(func() {
		f.stop(t)
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // before it came to serve
			require.NoError(t, err)
		}
	})
	f.ClientConn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func (f *fixture) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, f.server.Stop(context.Background()))
}

func (f *fixture) call(ctx context.Context, opts ...grpc.CallOption) error {
	return f.Invoke(ctx, doMethod, new(emptypb.Empty), new(emptypb.Empty), opts...)
}

func (f *fixture) watch(ctx context.Context) error {
	stream, err := f.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watchMethod)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return stream.RecvMsg(new(emptypb.Empty))
}

// calls returns the lines of the log about calls, once the server has stopped.
func (f *fixture) calls(t *testing.T) []map[string]any {
	t.Helper()
	f.stop(t)
	var calls []map[string]any
	for line := range strings.Lines(f.log.String()) {
		fields := make(map[string]any)
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		if fields["message"] == "call" {
			calls = append(calls, fields)
		}
	}
	return calls
}

func TestAFaultBecomesTheStatusOfItsKind(t *testing.T) {
	tests := []struct {
		err  error
		code codes.Code
		text string
	}{
		{fault.New(fault.Invalid, "wrong"), codes.InvalidArgument, "wrong"},
		{fault.New(fault.NotFound, "not there"), codes.NotFound, "not there"},
		{fmt.Errorf("doing: %w", fault.Wrap(fault.Precondition, errors.New("secret"), "not now")), codes.FailedPrecondition, "not now"},
		{fault.New(fault.Exhausted, "too much"), codes.ResourceExhausted, "too much"},
		{fault.Wrap(fault.Unavailable, errors.New("secret"), "away"), codes.Unavailable, "away"},
		{status.Error(codes.AlreadyExists, "as it is"), codes.AlreadyExists, "as it is"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "the deadline has passed"},
		{context.Canceled, codes.Canceled, "the caller has gone"},
	}
	for _, test := range tests {
		f := serve(t, rpc.Options{}, func(context.Context) error { return test.err })
		err := f.call(t.Context())
		require.Equal(t, test.code, status.Code(err))
		require.Equal(t, test.text, status.Convert(err).Message())
	}
}

func TestWhatIsWrongWithARequestIsToldByField(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error {
		return &fault.Error{Kind: fault.Invalid, Message: "two things are wrong", Fields: []fault.Field{{Path: "a", Message: "is b"}, {Path: "c", Message: "is d"}}}
	})
	details := status.Convert(f.call(t.Context())).Details()
	require.Len(t, details, 1)
	violations := details[0].(*errdetails.BadRequest).GetFieldViolations()
	require.Len(t, violations, 2)
	require.Equal(t, "a", violations[0].GetField())
	require.Equal(t, "is d", violations[1].GetDescription())
}

func TestAnyOtherErrorIsToldInTheLogOnly(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { return fault.Wrap(fault.Internal, errors.New("secret"), "also secret") })
	var header metadata.MD
	err := f.call(t.Context(), grpc.Header(&header))
	id := header.Get(rpc.RequestIDKey)
	require.Len(t, id, 1)
	require.Equal(t, codes.Internal, status.Code(err))
	require.Equal(t, "internal error; the log tells more under request "+id[0], status.Convert(err).Message())
	calls := f.calls(t)
	require.Len(t, calls, 1)
	require.Equal(t, "error", calls[0]["level"])
	require.Equal(t, "also secret: secret", calls[0]["error"])
	require.Equal(t, id[0], calls[0]["request_id"])
}

func TestWhatACallerSentIsNotLoggedWhole(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error {
		return fault.New(fault.Invalid, "there is no %s", strings.Repeat("x", 100_000))
	})
	require.Error(t, f.call(t.Context(), grpc.MaxCallRecvMsgSize(1<<20)))
	require.Less(t, len(f.calls(t)[0]["error"].(string)), 3000)
}

func TestAPanicIsAnInternalErrorAndTheServerGoesOn(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { panic("oh") })
	require.Equal(t, codes.Internal, status.Code(f.call(t.Context())))
	require.Equal(t, codes.Internal, status.Code(f.watch(t.Context())))
	calls := f.calls(t)
	require.Len(t, calls, 2)
	require.Contains(t, calls[0]["error"], "panic: oh")
	require.Contains(t, calls[0]["error"], "rpc_test.go")
}

func TestEachCallHasOneLineAndProbesHaveNone(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { return nil })
	require.NoError(t, f.call(t.Context()))
	require.ErrorIs(t, f.watch(t.Context()), io.EOF)
	_, err := grpc_health_v1.NewHealthClient(f).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	calls := f.calls(t)
	require.Len(t, calls, 2)
	require.Equal(t, doMethod, calls[0]["method"])
	require.Equal(t, "OK", calls[0]["code"])
	require.Equal(t, watchMethod, calls[1]["method"])
	require.NotEqual(t, calls[0]["request_id"], calls[1]["request_id"])
}

func TestOnlyTheTokenOpensTheServerAndHealthNeedsNone(t *testing.T) {
	f := serve(t, rpc.Options{Token: "secret"}, func(context.Context) error { return nil })
	for _, given := range [][]string{nil, {"authorization", "secret"}, {"authorization", "Bearer secre"}, {"authorization", "Bearer secret2"},
		{"authorization", "Bearer secret", "authorization", "Bearer secret"}} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), given...)
		require.Equal(t, codes.Unauthenticated, status.Code(f.call(ctx)), given)
		require.Equal(t, codes.Unauthenticated, status.Code(f.watch(ctx)), given)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer secret")
	require.NoError(t, f.call(ctx))
	require.ErrorIs(t, f.watch(ctx), io.EOF)
	health, err := grpc_health_v1.NewHealthClient(f).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, health.GetStatus())
}

func TestACallWithoutADeadlineGetsOne(t *testing.T) {
	f := serve(t, rpc.Options{Timeout: time.Millisecond}, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	require.Equal(t, codes.DeadlineExceeded, status.Code(f.call(t.Context())))
}

func TestItTellsWhatItServes(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { return nil })
	stream, err := reflectionv1.NewServerReflectionClient(f).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}))
	response, err := stream.Recv()
	require.NoError(t, err)
	require.NoError(t, stream.CloseSend())
	var names []string
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	require.Contains(t, names, "test.Service")
}

func TestStoppingWaitsForCallsUntilItsTimeIsOver(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	f := serve(t, rpc.Options{}, func(ctx context.Context) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	result := make(chan error, 1)
	go func() { result <- f.call(context.Background()) }()
	<-entered
	close(release)
	f.stop(t)
	require.NoError(t, <-result, "it was let finish")
}

func TestStoppingCutsOffWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{})
	f := serve(t, rpc.Options{}, func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	result := make(chan error, 1)
	go func() { result <- f.call(context.Background()) }()
	<-entered
	over, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, f.server.Stop(over))
	require.Error(t, <-result)
}
