// Package broker keeps what a version needs of NATS JetStream: it makes the assets that a plan names exist, exactly as
// planned, and removes them. It decides no name; all of them come from krt/plan.
package broker

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
)

const (
	// callTimeout bounds one exchange with the broker. Without it, one whose answer was lost with the connection would
	// use up the caller's whole deadline.
	callTimeout = 5 * time.Second
	// connectWait is how long a call waits for a broker that is away, before it gives up.
	connectWait = 2 * time.Second
	// reconnectWait is the time between two attempts to reach the broker.
	reconnectWait = 100 * time.Millisecond
)

// Options are what may be other than usual.
type Options struct {
	CredentialsFile string   // path of a NATS credentials file
	Account         *Account // whose key lets this service in, in place of credentials
	Replicas        int      // of streams and buckets; 0: 1
}

// Broker is a connection to NATS. Its methods may be called concurrently.
type Broker struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	replicas int
	servers  string // what to call the broker in errors: its addresses without credentials
}

// Connect returns a broker at url, which may hold several addresses separated by commas. It does not wait until the
// broker is there, and looks for it for ever: whatever is asked of it meanwhile is answered with fault.Unavailable.
func Connect(url string, log *zap.Logger, opts Options) (*Broker, error) {
	options := []nats.Option{
		nats.Name("runtime-api"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.IgnoreAuthErrorAbort(), // credentials may be renewed
		nats.ReconnectBufSize(-1),   // a call that nobody waits for any more must not be made later
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("broker lost", zap.Error(err)) }),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("broker found again") }),
	}
	if opts.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(opts.CredentialsFile))
	}
	if opts.Account != nil {
		login, err := opts.Account.login()
		if err != nil {
			return nil, err
		}
		options = append(options, login)
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker at %s: %w", withoutCredentials(url), err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("use JetStream of the broker at %s: %w", withoutCredentials(url), err)
	}
	return &Broker{conn: conn, js: js, replicas: max(opts.Replicas, 1), servers: withoutCredentials(url)}, nil
}

// Close ends the connection.
func (b *Broker) Close() { b.conn.Close() }

// WaitConnected returns when the broker is there, or with the context's error.
func (b *Broker) WaitConnected(ctx context.Context) error {
	if b.conn.IsConnected() {
		return nil
	}
	changed := b.conn.StatusChanged(nats.CONNECTED)
	defer b.conn.RemoveStatusListener(changed)
	for !b.conn.IsConnected() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
	return nil
}

// ready waits a moment for a broker that is away.
func (b *Broker) ready(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	if err := b.WaitConnected(wait); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Wrap(fault.Unavailable, b.conn.LastError(), "the broker at %s cannot be reached", b.servers)
	}
	return nil
}

// withoutCredentials returns the host and port of each address.
func withoutCredentials(urls string) string {
	hosts := make([]string, 0, 1)
	for address := range strings.SplitSeq(urls, ",") {
		address = strings.TrimSpace(address)
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
			continue
		}
		hosts = append(hosts, address[strings.LastIndex(address, "@")+1:])
	}
	return strings.Join(hosts, ", ")
}
