// Package broker is the connection of a node to NATS: it stays up for ever, and sends messages whose answers are awaited
// many at a time over one subscription. What the messages mean is known to the packages above.
package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

const (
	reconnectWait = 100 * time.Millisecond
	dialTimeout   = 2 * time.Second
	pingInterval  = 2 * time.Second
)

// Options say how to connect.
type Options struct {
	URL         string // several are separated by commas
	Credentials string // path of a credentials file, or empty
	Name        string // by which the broker lists the connection
	Inbox       string // prefix of the subjects that answers come to; the client's own when empty
	Log         *logline.Log
}

// Conn is a connection that reconnects for ever.
type Conn struct {
	nc    *nats.Conn
	inbox string // prefix of the subjects that answers come to
	limit int    // largest message in bytes, headers included

	mu      sync.Mutex
	last    uint64
	waiting map[string]func(*nats.Msg) // by token
	again   []func()
}

// Open connects, waiting for the broker as long as ctx lets it.
func Open(ctx context.Context, o Options) (*Conn, error) {
	c := &Conn{waiting: make(map[string]func(*nats.Msg))}
	connected := make(chan struct{})
	options := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(0, 0),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.ConnectHandler(func(*nats.Conn) { close(connected) }),
		nats.ReconnectHandler(func(*nats.Conn) {
			o.Log.Printf(logline.Info, "connected to the broker again")
			c.reconnected()
		}),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil && !nc.IsClosed() {
				o.Log.Write(logline.Record{Level: logline.Warn, Message: "the connection to the broker is lost, trying again", Err: err.Error()})
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Log.Write(logline.Record{Level: logline.Warn, Message: "the broker complains", Err: err.Error()})
		}),
	}
	if o.Inbox != "" {
		options = append(options, nats.CustomInboxPrefix(o.Inbox))
	}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	nc, err := nats.Connect(o.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	c.nc = nc
	select {
	case <-connected:
	case <-ctx.Done():
		nc.Close()
		return nil, fmt.Errorf("connecting to the broker: %w", context.Cause(ctx))
	}
	c.limit = int(nc.MaxPayload())
	c.inbox = nc.NewInbox() + "."
	if _, err := c.Subscribe(c.inbox+"*", c.answered); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// Limit is the size in bytes, headers included, that the broker takes in one message.
func (c *Conn) Limit() int { return c.limit }

// NewInbox returns a subject of its own for answers to come to.
func (c *Conn) NewInbox() string { return c.nc.NewInbox() }

// Connected reports whether the connection is up now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Up waits until the connection is up, or ctx ends.
func (c *Conn) Up(ctx context.Context) {
	for !c.Connected() {
		select {
		case <-time.After(reconnectWait / 4):
		case <-ctx.Done():
			return
		}
	}
}

// OnReconnect has f called, in the connection's own goroutine, each time the connection is up again.
func (c *Conn) OnReconnect(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = append(c.again, f)
}

// Subscribe has handler called for each message on subject, one at a time.
func (c *Conn) Subscribe(subject string, handler nats.MsgHandler) (*nats.Subscription, error) {
	subscription, err := c.nc.Subscribe(subject, handler)
	if err == nil {
		// Both bounds would drop messages; what is under way is bounded by who asks for it.
		err = subscription.SetPendingLimits(-1, -1)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return subscription, nil
}

// Publish sends a message that nobody confirms.
func (c *Conn) Publish(msg *nats.Msg) error {
	if err := c.nc.PublishMsg(msg); err != nil {
		return fmt.Errorf("publishing on %s: %w", msg.Subject, err)
	}
	return nil
}

// Send sends a body without headers that nobody confirms.
func (c *Conn) Send(subject string, body []byte) error {
	if err := c.nc.Publish(subject, body); err != nil {
		return fmt.Errorf("publishing on %s: %w", subject, err)
	}
	return nil
}

// Flush waits until the broker has seen everything sent so far.
func (c *Conn) Flush(ctx context.Context) error {
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flushing to the broker: %w", err)
	}
	return nil
}

// Close ends the connection and everything that waits for an answer.
func (c *Conn) Close() {
	c.nc.Close()
	c.reconnected()
}

// NATS returns the connection itself, for the rare things that the broker's own client does.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Reasons for which an answer does not come.
var (
	ErrNoResponders = errors.New("nobody listens there")
	ErrNoAnswer     = errors.New("no answer in time")
	ErrLost         = errors.New("the connection was lost before the answer")
	ErrAway         = errors.New("there is no connection, and the message was not sent")
	ErrTooLarge     = errors.New("the message is larger than the broker takes")
)

// Answer is the answer that will come to a message.
type Answer struct {
	conn    *Conn
	token   string
	arrived chan *nats.Msg
	err     error
}

// Ask sends a message and returns the answer to wait for. It does not wait itself. Without a connection nothing is sent:
// whoever asks will ask again, and the client would keep every try.
func (c *Conn) Ask(msg *nats.Msg) *Answer {
	a := &Answer{conn: c, arrived: make(chan *nats.Msg, 1)} // room for one: whoever brings it never waits
	a.token, a.err = c.ask(msg, func(msg *nats.Msg) { a.arrived <- msg })
	return a
}

// AskFunc is Ask for an answer that nobody waits for: then is called with it, or with nil when the connection was lost
// before it came. It is not called when an error is returned, and must not wait.
func (c *Conn) AskFunc(msg *nats.Msg, then func(*nats.Msg)) error {
	_, err := c.ask(msg, then)
	return err
}

func (c *Conn) ask(msg *nats.Msg, then func(*nats.Msg)) (token string, err error) {
	if !c.Connected() {
		return "", ErrAway
	}
	c.mu.Lock()
	c.last++
	token = strconv.FormatUint(c.last, 36)
	c.waiting[token] = then
	c.mu.Unlock()
	msg.Reply = c.inbox + token
	if err := c.nc.PublishMsg(msg); err != nil {
		c.forget(token)
		if errors.Is(err, nats.ErrMaxPayload) {
			return "", ErrTooLarge
		}
		return "", fmt.Errorf("publishing on %s: %w", msg.Subject, err)
	}
	return token, nil
}

// NoResponders tells whether an answer says that nobody listens where the message went.
func NoResponders(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header.Get("Status") == "503"
}

// Wait returns the answer. It waits for it as long as patience and ctx let it, and ends early when the connection is
// lost. It is called once.
func (a *Answer) Wait(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	if a.err != nil {
		return nil, a.err
	}
	defer a.conn.forget(a.token)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case msg := <-a.arrived:
		if msg == nil {
			return nil, ErrLost
		}
		if NoResponders(msg) {
			return nil, ErrNoResponders
		}
		return msg, nil
	case <-timer.C:
		return nil, ErrNoAnswer
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *Conn) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, token)
}

func (c *Conn) answered(msg *nats.Msg) {
	token := strings.TrimPrefix(msg.Subject, c.inbox)
	c.mu.Lock()
	then := c.waiting[token]
	delete(c.waiting, token)
	c.mu.Unlock()
	if then != nil {
		then(msg)
	}
}

// reconnected tells everybody who waits that the answer will not come: it was on its way over the connection before.
func (c *Conn) reconnected() {
	c.mu.Lock()
	lost := c.waiting
	c.waiting = make(map[string]func(*nats.Msg))
	again := c.again
	c.mu.Unlock()
	for _, then := range lost {
		then(nil)
	}
	for _, f := range again {
		f()
	}
}
