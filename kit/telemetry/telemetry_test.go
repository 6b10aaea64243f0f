package telemetry_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/kit/telemetry"
)

// overGRPC is a collector that passes on what it gets.
type overGRPC struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (c *overGRPC) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.got <- r
	return new(collector.ExportTraceServiceResponse), nil
}

func collectGRPC(t *testing.T, got chan *collector.ExportTraceServiceRequest) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, &overGRPC{got: got})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

func collectHTTP(t *testing.T, got chan *collector.ExportTraceServiceRequest) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := new(collector.ExportTraceServiceRequest)
		if err == nil && r.URL.Path == "/otlp/v1/traces" && proto.Unmarshal(body, request) == nil {
			got <- request
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/otlp"
}

func TestSpansReachTheCollectorAtTheLatestWhenTheProgramEnds(t *testing.T) {
	collectors := map[string]func(*testing.T, chan *collector.ExportTraceServiceRequest) string{
		telemetry.GRPC: collectGRPC, telemetry.HTTP: collectHTTP,
	}
	for protocol, collect := range collectors {
		t.Run(protocol, func(t *testing.T) {
			got := make(chan *collector.ExportTraceServiceRequest, 1)
			flags := telemetry.Flags{OTLPEndpoint: collect(t, got), OTLPProtocol: protocol}
			opened, release, err := flags.Open(t.Context(), "program")
			require.NoError(t, err)
			require.Nil(t, opened.Metrics)
			_, span := opened.Traces.Tracer("test").Start(t.Context(), "work")
			span.End()
			require.NoError(t, release(t.Context()))
			spans := (<-got).GetResourceSpans()
			require.Len(t, spans, 1)
			require.Equal(t, "work", spans[0].GetScopeSpans()[0].GetSpans()[0].GetName())
			about := make(map[string]string)
			for _, attribute := range spans[0].GetResource().GetAttributes() {
				about[attribute.GetKey()] = attribute.GetValue().GetStringValue()
			}
			require.Equal(t, "program", about["service.name"])
		})
	}
}

func TestEverythingIsOffUntilItIsAskedFor(t *testing.T) {
	opened, release, err := telemetry.Flags{}.Open(t.Context(), "program")
	require.NoError(t, err)
	require.Equal(t, telemetry.Telemetry{}, opened)
	require.NoError(t, release(t.Context()))
}

func TestMetricsTellOfTheProcess(t *testing.T) {
	opened, _, err := telemetry.Flags{MetricsAddr: "127.0.0.1:0"}.Open(t.Context(), "program")
	require.NoError(t, err)
	require.Nil(t, opened.Traces)
	families, err := opened.Metrics.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	require.Contains(t, names, "go_goroutines")
	require.Contains(t, names, "process_open_fds")
}

func TestACollectorThatIsNoURLIsRefused(t *testing.T) {
	for _, endpoint := range []string{"http://", "ftp://collector:4317", "a b", "://"} {
		_, _, err := telemetry.Flags{OTLPEndpoint: endpoint, OTLPProtocol: telemetry.HTTP}.Open(t.Context(), "program")
		require.ErrorContains(t, err, "it is no URL of the form http://HOST:PORT", endpoint)
		require.True(t, strings.HasPrefix(err.Error(), "send traces to "+endpoint), endpoint)
	}
}
