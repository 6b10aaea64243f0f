// Package broker runs a NATS server inside this process, for programs of this machine only.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/konstellation-io/kre/kit/heap"
)

// MaxPayload is the largest message the broker takes, headers included, in bytes.
const MaxPayload = 8 << 20

const (
	// maxPending is what may wait for one slow client: room for a batch of the largest messages.
	maxPending = 32 * MaxPayload
	// maxControlLine bounds the line by which a client says who it is, with all that its token permits.
	maxControlLine = 1 << 20
	// openBatches is how many atomic batches one stream may hold open; a killed node's stay open for 10 s.
	openBatches = 1000
	readyWithin = 10 * time.Second
	heapFloor   = 64 << 20
)

// Options of a broker.
type Options struct {
	StoreDir string       // where JetStream keeps its streams; required
	Port     int          // 0: any free one
	Token    string       // what clients have to show; empty: a random one
	Warn     func(string) // told what a person should know, e.g. that the disk is full; nil: nobody is
}

// Broker is a running server.
type Broker struct {
	server  *server.Server
	user    *url.Userinfo // the token; nil in operator mode
	release func()        // of the heap's floor
}

// Start starts a server on 127.0.0.1 and returns when it takes connections.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if o.StoreDir == "" {
		return nil, errors.New("the broker needs a directory for its streams")
	}
	if o.Token == "" {
		o.Token = rand.Text()
	}
	port := o.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := run(ctx, &server.Options{
		ServerName: "kre", Host: "127.0.0.1", Port: port, Authorization: o.Token,
		MaxPayload: MaxPayload, MaxPending: maxPending, MaxControlLine: maxControlLine,
		JetStream: true, StoreDir: o.StoreDir, JetStreamMaxStore: maxStore,
		JetStreamLimits: server.JSLimitOpts{
			MaxBatchInflightPerStream: openBatches,
			MaxBatchInflightTotal:     20 * openBatches,
		},
	}, o.Warn)
	if err != nil {
		return nil, err
	}
	return &Broker{server: s, user: url.User(o.Token), release: heap.Floor(heapFloor)}, nil
}

// maxStore is the sum of what all streams may be limited to, in bytes. Limits are taken off it whatever the streams hold, so
// that a small one would let no more than some runtimes be made: the disk is limit enough.
const maxStore = 1 << 50

// OperatorOptions of a broker in operator mode.
type OperatorOptions struct {
	StoreDir string       // where JetStream keeps its streams; empty: in the operator's folder
	Port     int          // 0: any free one
	Warn     func(string) // told what a person should know, e.g. that the disk is full; nil: nobody is
}

// StartOperator starts a server on 127.0.0.1 that trusts an operator, and returns when it takes connections.
func StartOperator(ctx context.Context, operator *Operator, o OperatorOptions) (*Broker, error) {
	if o.StoreDir == "" {
		o.StoreDir = filepath.Join(operator.dir, "jetstream")
	}
	port := o.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	var options server.Options
	text := config(Mount{Path: operator.dir, Host: "127.0.0.1", Port: port, StoreDir: o.StoreDir})
	if err := options.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("cannot set up the broker: %w", err)
	}
	s, err := run(ctx, &options, o.Warn)
	if err != nil {
		return nil, err
	}
	return &Broker{server: s, release: heap.Floor(heapFloor)}, nil
}

// run starts a server and returns when it takes connections.
func run(ctx context.Context, o *server.Options, warn func(string)) (*server.Server, error) {
	o.NoSigs = true // the program decides when the broker ends
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the broker: %w", err)
	}
	log := &logger{warn: warn, fatal: make(chan struct{})}
	s.SetLoggerV2(log, false, false, false)
	s.Start()

	ready := make(chan bool, 1)
	go func() { ready <- s.ReadyForConnections(readyWithin) }()
	ok := false
	select {
	case ok = <-ready:
	case <-log.fatal:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !ok || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		if err == nil {
			err = fmt.Errorf("cannot start the broker: %s", log.reason())
		}
		return nil, err
	}
	return s, nil
}

// URL is the address for clients, with the token where there is one.
func (b *Broker) URL() string {
	u := url.URL{Scheme: "nats", User: b.user, Host: b.Addr()}
	return u.String()
}

// Addr is host and port.
func (b *Broker) Addr() string {
	port := 0
	if addr, ok := b.server.Addr().(*net.TCPAddr); ok {
		port = addr.Port
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Stop ends the server and returns when everything it held is on disk. Its clients should have ended before.
func (b *Broker) Stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.release()
}
