// Package instance is one running entrypoint of a version: the connection to the broker, the exchange and both servers,
// joined, and ended in order.
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/telemetry"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/grpcapi"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/httpapi"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

// DefaultMaxRequestBytes is what a request may have when nothing else is said; the broker's own limit holds besides.
const DefaultMaxRequestBytes = 8 << 20

// Options of an instance.
type Options struct {
	Config  plan.Entrypoint
	Package fs.FS // the unpacked package
	Broker  broker.Options

	MaxInFlight     int           // requests; exchange.DefaultMaxInFlight when 0
	AllowedHosts    []string      // names by which it may be called over HTTP: see httpapi.NewHosts
	MaxRequestBytes int           // DefaultMaxRequestBytes when 0
	Drain           time.Duration // how long those who wait may wait on when the instance stops

	Telemetry telemetry.Telemetry // where calls are counted and traced
}

// Instance is a running entrypoint.
type Instance struct {
	options  Options
	logger   *zap.Logger
	broker   *broker.Broker
	exchange *exchange.Exchange
	grpc     *grpcapi.Server
	http     *httpapi.Server
	id       string
	serving  sync.WaitGroup
	failed   chan error

	control  sync.Mutex // held while the instance opens, closes, moves or begins to stop
	stopping bool
}

// Start serves on both listeners, which belong to the instance from then on. Calls are refused until Await has
// returned. The error says what is wrong with the package or the options; the broker may be away.
func Start(ctx context.Context, options Options, grpcListener, httpListener net.Listener, logger *zap.Logger) (*Instance, error) {
	if options.MaxRequestBytes <= 0 {
		options.MaxRequestBytes = DefaultMaxRequestBytes
	}
	offered, err := service.Load(ctx, options.Config, options.Package)
	if err != nil {
		return nil, errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	i := &Instance{options: options, logger: logger, id: exchange.NewID(), failed: make(chan error, 2)}
	i.options.Broker.Inbox = options.Config.Inbox
	i.broker = broker.New(i.options.Broker, logger)
	replyTo := options.Config.ReplyTo + "." + i.id
	i.exchange = exchange.New(i.broker, replyTo, logger, exchange.Options{MaxInFlight: options.MaxInFlight, Telemetry: options.Telemetry})
	if options.Telemetry.Metrics != nil {
		options.Telemetry.Metrics.MustRegister(loads{i})
	}
	if err := i.broker.Open(i.exchange, replyTo); err != nil {
		return nil, errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	i.grpc = grpcapi.New(grpcListener, offered, i.exchange, logger, grpcapi.Options{MaxRequestBytes: options.MaxRequestBytes})
	i.http = httpapi.New(httpListener, offered, i.exchange, i, logger, httpapi.Options{
		MaxRequestBytes: options.MaxRequestBytes, Hosts: httpapi.NewHosts(httpListener.Addr(), options.AllowedHosts),
	})
	i.serve("gRPC", i.grpc.Serve)
	i.serve("HTTP", i.http.Serve)
	if options.Config.Control != "" {
		if err := i.broker.Listen(options.Config.Control, i.command); err != nil {
			return nil, errors.Join(err, i.Stop(ctx))
		}
	}
	logger.Info("listening", zap.Stringer("grpc", grpcListener.Addr()), zap.Stringer("http", httpListener.Addr()))
	return i, nil
}

func (i *Instance) serve(protocol string, serve func() error) {
	i.serving.Go(func() {
		if err := serve(); err != nil {
			i.failed <- fmt.Errorf("serving %s: %w", protocol, err)
		}
	})
}

// Failed tells when a server ended by itself.
func (i *Instance) Failed() <-chan error { return i.failed }

// Await returns when the broker is there and every consumer of the version exists; from then on calls are answered.
func (i *Instance) Await(ctx context.Context) error {
	var consumers []plan.Source
	for _, workflow := range i.options.Config.Workflows {
		consumers = append(consumers, workflow.Consumers...)
	}
	if err := i.broker.Await(ctx, consumers); err != nil {
		return err
	}
	i.control.Lock()
	defer i.control.Unlock()
	i.exchange.Start()
	i.grpc.SetServing(i.exchange.Serving())
	return nil
}

// Watch looks whether requests can be stored, and tells those who look at the version when they cannot, until ctx ends.
func (i *Instance) Watch(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	var telling sync.WaitGroup
	defer telling.Wait()
	defer end()
	telling.Go(func() { i.tell(ctx) })
	return i.broker.Watch(ctx, i.options.Config.Workflows)
}

// Ready reports whether calls are answered.
func (i *Instance) Ready() bool { return i.exchange.Serving() }

// BrokerConnected reports whether the broker is there.
func (i *Instance) BrokerConnected() bool { return i.broker.Connected() }

// lastAnswers is how long the servers may take to write what is answered already, and how long the broker may take to
// get the last confirmations.
const lastAnswers = 2 * time.Second

// Stop refuses new calls, waits for those that are waiting, at most as long as the options say, and ends everything.
func (i *Instance) Stop(ctx context.Context) error {
	i.control.Lock()
	i.stopping = true
	i.grpc.SetServing(false)
	i.http.Move()
	i.control.Unlock()
	draining, cancel := context.WithTimeout(ctx, i.options.Drain)
	i.exchange.Drain(draining)
	cancel()
	writing, cancel := context.WithTimeout(ctx, lastAnswers)
	var servers sync.WaitGroup
	servers.Go(func() { i.ended("gRPC", i.grpc.Stop(writing)) })
	servers.Go(func() { i.ended("HTTP", i.http.Stop(writing)) })
	servers.Wait()
	cancel()
	i.serving.Wait()
	closing, cancel := context.WithTimeout(ctx, lastAnswers)
	defer cancel()
	return i.broker.Close(closing)
}

func (i *Instance) ended(protocol string, err error) {
	if err != nil {
		i.logger.Warn("ending a server", zap.String("protocol", protocol), log.Error(err))
	}
}
