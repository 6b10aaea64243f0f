package exchange

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// observer counts, times and traces calls. Its zero value does nothing.
type observer struct {
	metrics *rpc.Metrics
	tracer  trace.Tracer
}

func newObserver(t telemetry.Telemetry) observer {
	o := observer{metrics: rpc.NewMetrics(t.Metrics)}
	if t.Traces != nil {
		o.tracer = t.Traces.Tracer("github.com/konstellation-io/kre/runner-sdk/entrypoint")
	}
	return o
}

// begin opens the span of a call, within the trace that the caller names, and has the nodes be told of that span.
func (o observer) begin(call *Call) {
	if o.tracer == nil {
		return
	}
	w3c := propagation.TraceContext{}
	carrier := propagation.MapCarrier{HeaderTraceparent: call.caller.Traceparent, HeaderTracestate: call.caller.Tracestate}
	ctx, span := o.tracer.Start(w3c.Extract(context.Background(), carrier), call.rpc.Path, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("kre.workflow", call.rpc.Workflow), attribute.String("kre.request_id", call.ID)))
	carrier = propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	call.caller.Traceparent, call.caller.Tracestate = carrier[HeaderTraceparent], carrier[HeaderTracestate]
	call.span = span
}

func (o observer) end(call *Call, code codes.Code, err error) {
	o.metrics.Called(call.rpc.Path, code, time.Since(call.begun))
	if call.span == nil {
		return
	}
	call.span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(code)))
	if err != nil && code != codes.InvalidArgument { // what is wrong with a payload may quote it
		call.span.SetStatus(otelcodes.Error, status.Convert(err).Message())
	} else if err != nil {
		call.span.SetStatus(otelcodes.Error, code.String())
	}
	call.span.End()
}
