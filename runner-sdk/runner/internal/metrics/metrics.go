// Package metrics counts what a node does, and serves that to Prometheus.
package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/konstellation-io/kre/kit/probes"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// Node counts what a node does since its process started.
type Node struct {
	registry *prometheus.Registry
	ours     prometheus.Registerer // gives what it registers the labels of the node

	succeeded, failed prometheus.Counter
	spent             prometheus.Histogram
	deadLetters       prometheus.Counter
	expired           prometheus.Counter
	restarts          prometheus.Counter

	waiting, oldest prometheus.Gauge
	known           sync.Once // these two are there once they are known
}

var _ engine.Observer = (*Node)(nil)

// New returns the figures of a node that has done nothing yet.
func New(node config.Node) *Node {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kre_node_attempts_total", Help: "Handlers that have returned, by outcome: ok or failed.",
	}, []string{"outcome"})
	n := &Node{
		registry: registry,
		ours: prometheus.WrapRegistererWith(prometheus.Labels{
			"version": node.Version, "workflow": node.Workflow, "node": node.Name,
		}, registry),
		succeeded: attempts.WithLabelValues("ok"),
		failed:    attempts.WithLabelValues("failed"),
		spent: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kre_node_attempt_seconds", Help: "How long handlers took that have returned.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300},
		}),
		deadLetters: counter("kre_node_dead_letters_total", "Messages that were put aside as dead letters."),
		expired:     counter("kre_node_expired_total", "Messages that were not run because nobody waits for them any more."),
		restarts:    counter("kre_node_worker_restarts_total", "Workers that have died and were started again."),
		waiting:     gauge("kre_node_waiting", "Messages that are stored for the node and not handled yet."),
		oldest:      gauge("kre_node_oldest_seconds", "How long the oldest message that waits for the node has been stored."),
	}
	n.ours.MustRegister(attempts, n.spent, n.deadLetters, n.expired, n.restarts)
	return n
}

// Attempt implements engine.Observer.
func (n *Node) Attempt(spent time.Duration, failed bool) {
	n.spent.Observe(spent.Seconds())
	if failed {
		n.failed.Inc()
		return
	}
	n.succeeded.Inc()
}

// DeadLetter implements engine.Observer.
func (n *Node) DeadLetter() { n.deadLetters.Inc() }

// Expired implements engine.Observer.
func (n *Node) Expired(messages int) { n.expired.Add(float64(messages)) }

// Waiting implements engine.Observer.
func (n *Node) Waiting(messages int64, oldest time.Duration) {
	n.waiting.Set(float64(messages))
	n.oldest.Set(oldest.Seconds())
	n.known.Do(func() { n.ours.MustRegister(n.waiting, n.oldest) })
}

// Died counts a worker that is started again.
func (n *Node) Died() { n.restarts.Inc() }

// Serve answers at the address until the process ends: /metrics, /healthz (always), and /readyz, which follows the ready file.
func (n *Node) Serve(address, readyFile string, log *logline.Log) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("KRE_METRICS_ADDR is %q: %w", address, err)
	}
	log.Printf(logline.Info, "metrics are served at http://%s/metrics", listener.Addr())
	server := &http.Server{Handler: n.handler(readyFile), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Write(logline.Record{Level: logline.Error, Message: "metrics are not served any more", Err: err.Error()})
		}
	}()
	return nil
}

func (n *Node) handler(readyFile string) http.Handler {
	if readyFile == "" {
		return probes.Handler(n.registry, nil)
	}
	return probes.Handler(n.registry, func() bool {
		_, err := os.Stat(readyFile)
		return err == nil
	})
}
