package instance_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/kit/telemetry"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestCallsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(o *instance.Options) { o.Telemetry = telemetry.Telemetry{Metrics: registry} })
	w.newNode("say", func(e entry) {
		if waiting := w.metric(registry, "kre_entrypoint_waiting"); waiting != 1 {
			t.Errorf("%v wait", waiting)
		}
		if e.text() == "bad" {
			e.reply(wire.Error, "model", failureBody("model", "no", 1, e.RequestID))
			e.ack()
			return
		}
		echo(e)
	})
	_, err := w.say(within(t), "good")
	require.NoError(t, err)
	w.send("POST", "/echo.Echo/Say", `"good"`, asJSON)
	_, err = w.say(within(t), "bad")
	require.Error(t, err)
	eventually(t, "all are counted", func() bool {
		return w.metric(registry, "grpc_server_handled_total", "OK") == 2 && w.metric(registry, "grpc_server_handled_total", "Internal") == 1
	})
	require.Equal(t, 1, testutil.CollectAndCount(registry, "grpc_server_handling_seconds"))
}

// metric is the value of a metric whose labels have all of these values.
func (w *world) metric(registry *prometheus.Registry, name string, labels ...string) float64 {
	families, err := registry.Gather()
	if err != nil {
		w.t.Errorf("gathering: %v", err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, metric := range family.GetMetric() {
			values := make(map[string]bool)
			for _, label := range metric.GetLabel() {
				values[label.GetValue()] = true
			}
			for _, label := range labels {
				if !values[label] {
					continue metrics
				}
			}
			return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return 0
}

func TestACallIsASpanOfTheCallersTraceAndTheNodesAreToldOfIt(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	defer func() { require.NoError(t, provider.Shutdown(context.Background())) }()
	w := newWorld(t, func(o *instance.Options) { o.Telemetry = telemetry.Telemetry{Traces: provider} })
	seen := make(chan entry, 1)
	w.newNode("say", func(e entry) {
		seen <- e
		e.reply(wire.Error, "model", failureBody("model", "no", 1, e.RequestID))
		e.ack()
	})
	ctx := metadata.AppendToOutgoingContext(within(t), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	_, err := w.say(ctx, "hello")
	require.Error(t, err)
	eventually(t, "the span has ended", func() bool { return len(spans.Ended()) == 1 })
	span := spans.Ended()[0]
	require.Equal(t, "/echo.Echo/Say", span.Name())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Equal(t, codes.Error, span.Status().Code)
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+span.SpanContext().SpanID().String()+"-01", (<-seen).Traceparent)
}
