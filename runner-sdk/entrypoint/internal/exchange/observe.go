package exchange

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/telemetry"
)

// observer counts, times and traces calls. Its zero value does nothing.
type observer struct {
	answered *prometheus.CounterVec
	took     *prometheus.HistogramVec
	tracer   trace.Tracer
}

func newObserver(t telemetry.Telemetry, waiting func() int) observer {
	var o observer
	if t.Metrics != nil {
		o.answered = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kre_entrypoint_calls_total", Help: "Calls of a version's rpcs that were answered.",
		}, []string{"rpc", "workflow", "code"})
		o.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kre_entrypoint_call_seconds", Help: "How long a call took, whatever the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"rpc", "workflow"})
		t.Metrics.MustRegister(o.answered, o.took, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kre_entrypoint_waiting", Help: "Calls that wait for their answers.",
		}, func() float64 { return float64(waiting()) }))
	}
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
	if o.answered != nil {
		o.answered.WithLabelValues(call.rpc.Name, call.rpc.Workflow, code.String()).Inc()
		o.took.WithLabelValues(call.rpc.Name, call.rpc.Workflow).Observe(time.Since(call.begun).Seconds())
	}
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
