// Package broker runs a NATS server inside this process, for programs of this machine only.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/konstellation-io/kre/kit/heap"
	"github.com/konstellation-io/kre/kit/ports"
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
	heapFloor   = 64 << 20
)

// Options of a broker.
type Options struct {
	StoreDir string       // where JetStream keeps its streams; required
	Port     int          // 0: any free one
	Token    string       // what clients have to show; empty: a random one
	Warn     func(string) // told what a person should know, e.g. that the disk is full; nil: nobody is
}

// Broker is a running server. When its disk takes nothing any more it runs on without JetStream, until the disk does: see
// heal.go.
type Broker struct {
	dir     string                          // where JetStream keeps its streams
	warn    func(string)                    // nil: nobody is told
	options func() (*server.Options, error) // fresh ones for each server, which changes those it is given
	port    int                             // since the first server is there: the one it got
	user    *url.Userinfo                   // the token; nil in operator mode
	release func()                          // of the heap's floor
	end     context.CancelFunc              // ends the watch
	ended   chan struct{}                   // closed when the watch has ended
	server  *server.Server                  // the watch's, and Stop's when that has ended
	log     *logger                         // of the server, the watch's too

	mu     sync.Mutex
	reason string
}

// Start starts a server on 127.0.0.1 and returns when it takes connections.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if o.StoreDir == "" {
		return nil, errors.New("the broker needs a directory for its streams")
	}
	if o.Token == "" {
		o.Token = rand.Text()
	}
	b := &Broker{dir: o.StoreDir, warn: o.Warn, port: o.Port, user: url.User(o.Token)}
	b.options = func() (*server.Options, error) {
		return &server.Options{
			ServerName: "kre", Host: ports.Loopback, Port: b.port, Authorization: o.Token,
			MaxPayload: MaxPayload, MaxPending: maxPending, MaxControlLine: maxControlLine,
			JetStream: true, StoreDir: b.dir, JetStreamMaxStore: maxStore,
			JetStreamLimits: server.JSLimitOpts{
				MaxBatchInflightPerStream: openBatches,
				MaxBatchInflightTotal:     20 * openBatches,
			},
		}, nil
	}
	return b.start(ctx)
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
	b := &Broker{dir: o.StoreDir, warn: o.Warn, port: o.Port}
	b.options = func() (*server.Options, error) {
		var options server.Options
		text := config(Mount{Path: operator.dir, Host: ports.Loopback, Port: b.port, StoreDir: b.dir})
		return &options, options.ProcessConfigString(text)
	}
	return b.start(ctx)
}

// start starts the first server, and the watch over it.
func (b *Broker) start(ctx context.Context) (*Broker, error) {
	if b.port == 0 {
		b.port = server.RANDOM_PORT
	}
	if err := b.serve(ctx, true); err != nil {
		return nil, err
	}
	if addr, ok := b.server.Addr().(*net.TCPAddr); ok {
		b.port = addr.Port
	}
	b.release = heap.Floor(heapFloor)
	b.ended = make(chan struct{})
	ctx, b.end = context.WithCancel(context.WithoutCancel(ctx))
	go (&watch{Broker: b}).run(ctx)
	return b, nil
}

// URL is the address for clients, with the token where there is one. It stays the same.
func (b *Broker) URL() string {
	u := url.URL{Scheme: "nats", User: b.user, Host: b.Addr()}
	return u.String()
}

// Addr is host and port. They stay the same.
func (b *Broker) Addr() string { return ports.Address(ports.Loopback, b.port) }

// Reason is why nothing is stored at present; empty: all is well.
func (b *Broker) Reason() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason
}

func (b *Broker) setReason(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reason = reason
}

// Stop ends the server and returns when everything it held is on disk. Its clients should have ended before.
func (b *Broker) Stop() {
	b.end()
	<-b.ended
	b.shut()
	b.release()
}
