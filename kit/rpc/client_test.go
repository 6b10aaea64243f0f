package rpc_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// dial calls the fixture's server with a client of ours.
func dial(t *testing.T, f *fixture, opts rpc.ClientOptions) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(f.Target(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func do(ctx context.Context, conn *grpc.ClientConn) error {
	return conn.Invoke(ctx, doMethod, new(emptypb.Empty), new(emptypb.Empty))
}

func TestAClientSendsItsTokenWithEveryCall(t *testing.T) {
	f := serve(t, rpc.Options{Token: "secret"}, func(context.Context) error { return nil })
	require.NoError(t, do(t.Context(), dial(t, f, rpc.ClientOptions{Token: "secret"})))
	require.Equal(t, codes.Unauthenticated, status.Code(do(t.Context(), dial(t, f, rpc.ClientOptions{Token: "other"}))))
	require.Equal(t, codes.Unauthenticated, status.Code(do(t.Context(), dial(t, f, rpc.ClientOptions{}))))
}

func TestAClientFindsAServerThatComesBack(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	address := ports.Address(ports.Loopback, port)
	conn, err := rpc.Dial(address, rpc.ClientOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	require.Equal(t, codes.Unavailable, status.Code(do(t.Context(), conn)))

	again, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(again) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = conn.Invoke(ctx, doMethod, new(emptypb.Empty), new(emptypb.Empty), grpc.WaitForReady(true))
	require.Equal(t, codes.Unimplemented, status.Code(err), "it was reached")
	server.Stop()
	require.NoError(t, <-served)
}

func TestAuthenticateDecidesInPlaceOfTheTokenAndHandsOnWhoCalls(t *testing.T) {
	type caller struct{}
	var methods []string
	f := serve(t, rpc.Options{Token: "ignored", Authenticate: func(ctx context.Context, method string) (context.Context, error) {
		methods = append(methods, method)
		given := metadata.ValueFromIncomingContext(ctx, "authorization")
		if len(given) != 1 || given[0] != "Bearer ann's" {
			return nil, fault.New(fault.Unauthenticated, "who is there?").For("ERROR_REASON_UNAUTHENTICATED")
		}
		return context.WithValue(ctx, caller{}, "ann"), nil
	}}, func(ctx context.Context) error {
		return fault.New(fault.Conflict, "%s was here", ctx.Value(caller{}))
	})
	err := do(t.Context(), dial(t, f, rpc.ClientOptions{Token: "ignored"}))
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Equal(t, "who is there?", status.Convert(err).Message())
	info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	require.Equal(t, "ERROR_REASON_UNAUTHENTICATED", info.GetReason())

	conn := dial(t, f, rpc.ClientOptions{Token: "ann's"})
	err = do(t.Context(), conn)
	require.Equal(t, codes.Aborted, status.Code(err))
	require.Equal(t, "ann was here", status.Convert(err).Message())
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, watchMethod)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(new(emptypb.Empty)))
	require.Equal(t, "ann was here", status.Convert(stream.RecvMsg(new(emptypb.Empty))).Message())
	require.Equal(t, []string{doMethod, doMethod, watchMethod}, methods)
}

func TestAFaultCrossesAServiceAndComesOutAsItWentIn(t *testing.T) {
	given := &fault.Error{
		Kind: fault.Precondition, Message: "it is stopped", Reason: "WRONG_STATE", Metadata: map[string]string{"state": "STOPPED"},
		Fields: []fault.Field{{Path: "a", Message: "is b"}},
	}
	f := serve(t, rpc.Options{}, func(context.Context) error { return given })
	var got *fault.Error
	require.ErrorAs(t, rpc.Fault(f.call(t.Context())), &got)
	require.Equal(t, codes.FailedPrecondition, status.Code(got.Cause))
	got.Cause = nil
	require.Equal(t, given, got)
}

func TestAnyErrorOfACallHasAKind(t *testing.T) {
	require.NoError(t, rpc.Fault(nil))
	for code, kind := range map[codes.Code]fault.Kind{
		codes.InvalidArgument: fault.Invalid, codes.NotFound: fault.NotFound, codes.AlreadyExists: fault.AlreadyExists,
		codes.FailedPrecondition: fault.Precondition, codes.Aborted: fault.Conflict, codes.ResourceExhausted: fault.Exhausted,
		codes.Unavailable: fault.Unavailable, codes.DeadlineExceeded: fault.Unavailable,
		codes.Unauthenticated: fault.Internal, codes.Unimplemented: fault.Internal, codes.Internal: fault.Internal,
	} {
		require.Equal(t, kind, fault.KindOf(rpc.Fault(status.Error(code, "text"))), code)
	}
	require.ErrorIs(t, rpc.Fault(status.Error(codes.Canceled, "text")), context.Canceled)
	other := errors.New("no status")
	require.Equal(t, other, rpc.Fault(other))
}

func TestAHandlerKnowsTheIdOfItsCall(t *testing.T) {
	var seen string
	f := serve(t, rpc.Options{}, func(ctx context.Context) error { seen = rpc.RequestID(ctx); return nil })
	var header metadata.MD
	require.NoError(t, f.call(t.Context(), grpc.Header(&header)))
	require.Equal(t, []string{seen}, header.Get(rpc.RequestIDKey))
	require.Empty(t, rpc.RequestID(t.Context()))
}

func TestStoppingEndsStreamsWithoutWaitingForThem(t *testing.T) {
	entered := make(chan struct{})
	f := serve(t, rpc.Options{}, func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	result := make(chan error, 1)
	go func() { result <- f.watch(context.Background()) }()
	<-entered
	f.stop(t)
	err := <-result
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, "the service is stopping; call again", status.Convert(err).Message())
}

func TestCallsAreCountedAndTimedAndProbesAreNot(t *testing.T) {
	registry := prometheus.NewRegistry()
	answers := []error{nil, nil, fault.New(fault.NotFound, "no")}
	f := serve(t, rpc.Options{Telemetry: telemetry.Telemetry{Metrics: registry}}, func(context.Context) error {
		next := answers[0]
		answers = answers[1:]
		return next
	})
	require.NoError(t, f.call(t.Context()))
	require.NoError(t, f.call(t.Context()))
	require.Error(t, f.watch(t.Context()))
	f.stop(t)
	require.Equal(t, map[string]float64{"Do OK": 2, "Watch NotFound": 1}, counted(t, registry))
	timed, err := testutil.GatherAndCount(registry, "grpc_server_handling_seconds")
	require.NoError(t, err)
	require.Equal(t, 2, timed)
}

// counted is how often each method ended with each code.
func counted(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	found := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "grpc_server_handled_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := make(map[string]string)
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			require.Equal(t, "test.Service", labels["grpc_service"])
			found[labels["grpc_method"]+" "+labels["grpc_code"]] = metric.GetCounter().GetValue()
		}
	}
	return found
}

func TestATraceGoesOnInTheServiceThatIsCalled(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	observed := telemetry.Telemetry{Traces: provider}
	var seen oteltrace.SpanContext
	f := serve(t, rpc.Options{Telemetry: observed}, func(ctx context.Context) error {
		seen = oteltrace.SpanContextFromContext(ctx)
		return nil
	})
	ctx, span := provider.Tracer("test").Start(t.Context(), "caller")
	require.NoError(t, do(ctx, dial(t, f, rpc.ClientOptions{Telemetry: observed})))
	span.End()
	require.Equal(t, span.SpanContext().TraceID(), seen.TraceID())
	calls := f.calls(t)
	require.Len(t, calls, 1)
	require.Equal(t, seen.TraceID().String(), calls[0]["trace_id"])
	require.Len(t, spans.GetSpans(), 3, "of the caller, the client and the server")
	for _, one := range spans.GetSpans() {
		require.Equal(t, span.SpanContext().TraceID(), one.SpanContext.TraceID())
	}
}
