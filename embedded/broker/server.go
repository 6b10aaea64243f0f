package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const readyWithin = 10 * time.Second

// serve starts a server, with JetStream or without, and returns when it takes connections. Who starts another one tells why
// it fails; what the server warns of, that it has to look through its files, is known.
func (b *Broker) serve(ctx context.Context, jetStream bool) error {
	o, err := b.options()
	if err != nil {
		return fmt.Errorf("cannot set up the broker: %w", err)
	}
	o.JetStream = jetStream
	o.NoSigs = true // the program decides when the broker ends
	log := &logger{warn: b.warn, fatal: make(chan struct{}), quiet: b.server != nil}
	s, err := run(ctx, o, log)
	if err != nil {
		return err
	}
	log.speak()
	b.server, b.log = s, log
	return nil
}

// shut ends the server and returns when everything it held is on disk. Doing it twice does no harm.
func (b *Broker) shut() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// run starts a server and returns when it takes connections.
func run(ctx context.Context, o *server.Options, log *logger) (*server.Server, error) {
	jetStream := o.JetStream
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the broker: %w", err)
	}
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
	if !ok || s.JetStreamEnabled() != jetStream {
		s.Shutdown()
		s.WaitForShutdown()
		if err == nil {
			err = fmt.Errorf("cannot start the broker: %s", log.reason())
		}
		return nil, err
	}
	return s, nil
}
