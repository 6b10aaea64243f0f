package rpc

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Metrics count and time calls, under the names that dashboards for gRPC servers in Go look for. A nil one does nothing.
type Metrics struct {
	handled *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

// NewMetrics registers metrics; those of no registry are nil.
func NewMetrics(registry *prometheus.Registry) *Metrics {
	if registry == nil {
		return nil
	}
	m := &Metrics{
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_handled_total", Help: "Calls that were answered, or streams that ended.",
		}, []string{"grpc_service", "grpc_method", "grpc_code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "How long a call took, or a stream lasted.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"grpc_service", "grpc_method"}),
	}
	registry.MustRegister(m.handled, m.took)
	return m
}

// Called counts a call of a method, as `/package.Service/Method`.
func (m *Metrics) Called(method string, code codes.Code, took time.Duration) {
	if m == nil {
		return
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	m.handled.WithLabelValues(service, method, code.String()).Inc()
	m.took.WithLabelValues(service, method).Observe(took.Seconds())
}
