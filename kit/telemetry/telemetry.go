// Package telemetry is what a program tells machines about itself: metrics for Prometheus and traces over OTLP. Both are
// off until an address is given, and then cost nothing. It knows no metric of any program: packages that count or trace
// take a Telemetry and register their own.
package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry is where metrics and traces go. The zero value is off.
type Telemetry struct {
	Metrics *prometheus.Registry // nil: nobody asks for metrics
	Traces  trace.TracerProvider // nil: nobody collects traces
}

// Propagator carries a trace across processes as W3C says: the headers `traceparent`, `tracestate` and `baggage`.
func (Telemetry) Propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// How spans are sent.
const (
	GRPC = "grpc"
	HTTP = "http/protobuf"
)

// Flags are the flags of a program that is observed, for a kong struct. The zero value means off.
type Flags struct {
	MetricsAddr  string `help:"Address to serve /metrics, /healthz and /readyz on; empty: none." env:"KRE_METRICS_ADDR" placeholder:"HOST:PORT"`
	OTLPEndpoint string `name:"otlp-endpoint" help:"OpenTelemetry collector that traces are sent to; empty: none." env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" secret:"url"`
	OTLPProtocol string `name:"otlp-protocol" help:"How traces are sent: grpc or http/protobuf." enum:"grpc,http/protobuf" default:"http/protobuf" env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
}

// Open returns the telemetry of the program called name. Its release, never nil, sends the spans that still wait.
func (f Flags) Open(ctx context.Context, name string) (Telemetry, func(context.Context) error, error) {
	var t Telemetry
	release := func(context.Context) error { return nil }
	if f.MetricsAddr != "" {
		t.Metrics = prometheus.NewRegistry()
		t.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if f.OTLPEndpoint == "" {
		return t, release, nil
	}
	exporter, err := f.exporter(ctx)
	if err != nil {
		return Telemetry{}, release, fmt.Errorf("send traces to %s: %w", f.OTLPEndpoint, err)
	}
	// What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say comes before our own name for the program.
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", name)), resource.WithHost(),
		resource.WithProcessPID(), resource.WithFromEnv())
	if err != nil {
		return Telemetry{}, release, fmt.Errorf("describe this program to the collector of traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	t.Traces = provider
	return t, provider.Shutdown, nil
}

// exporter makes the one that the flags ask for. It connects when it has something to send.
func (f Flags) exporter(ctx context.Context) (*otlptrace.Exporter, error) {
	endpoint := f.OTLPEndpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("it is no URL of the form http://HOST:PORT")
	}
	if f.OTLPProtocol == GRPC {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(u.String()))
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
}
