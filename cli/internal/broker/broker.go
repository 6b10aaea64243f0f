// Package broker runs a NATS server inside this process, for programs of this machine only.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
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
	token   string
	release func() // of the heap's floor
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
	s, err := server.NewServer(&server.Options{
		ServerName: "kre", Host: "127.0.0.1", Port: port, Authorization: o.Token,
		MaxPayload: MaxPayload, MaxPending: maxPending,
		JetStream: true, StoreDir: o.StoreDir,
		JetStreamLimits: server.JSLimitOpts{
			MaxBatchInflightPerStream: openBatches,
			MaxBatchInflightTotal:     20 * openBatches,
		},
		NoSigs: true, // the program decides when the broker ends
	})
	if err != nil {
		return nil, fmt.Errorf("cannot set up the broker: %w", err)
	}
	log := &logger{warn: o.Warn, fatal: make(chan struct{})}
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
	return &Broker{server: s, token: o.Token, release: heap.Floor(heapFloor)}, nil
}

// URL is the address for clients, with the token.
func (b *Broker) URL() string {
	u := url.URL{Scheme: "nats", User: url.User(b.token), Host: b.Addr()}
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
