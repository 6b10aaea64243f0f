// Package broker joins the entrypoint to NATS: it publishes entry messages through JetStream, gets the confirmations and
// the replies, and looks whether a version's consumers exist. It lets nothing end because the broker is away.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	reconnectWait = 100 * time.Millisecond
	// headroom is what a message's headers may take of the broker's limit.
	headroom = 4096
	// pendingReplies bounds the replies that wait to be looked at, in bytes; one that is dropped is repeated by its node.
	pendingReplies = 256 << 20

	headerMsgID = "Nats-Msg-Id"
)

// Options say where the broker is.
type Options struct {
	URL   string // one or several, separated by commas
	Creds string // path of a credentials file; none when empty
	Name  string // of the connection, for people who look at the broker
	Inbox string // prefix of the subjects on which answers are awaited; the client's own when empty
}

// Sink is told what comes from the broker, on the goroutines of the connection: it must not block.
type Sink interface {
	Stored(requestID string)
	Refused(requestID string, refusal exchange.Refusal)
	Later(requestID, reason string)
	Replied(reply wire.Reply) (settled bool)
	Ended(requestIDs []string) []string
	Connected()
	Unconfirmed(subject string) time.Time
	Overtaken(subject string, at time.Time) (twice bool)
	Outage(subject, reason string)
}

// Broker is a connection to NATS that comes back by itself.
type Broker struct {
	options Options
	logger  *zap.Logger

	conn  *nats.Conn
	inbox string // of confirmations; the request id follows
	sink  Sink

	replicated  atomic.Bool   // its streams are
	doubt       atomic.Bool   // whether it stores anything
	connections atomic.Uint64 // how often it was connected to
	probes      sync.Map      // by id
}

// New returns a broker that is not connected yet. Only Open may be called on it.
func New(options Options, logger *zap.Logger) *Broker {
	return &Broker{options: options, logger: logger}
}

// Open begins to connect and returns at once, also when the broker is away. The sink is told what arrives on the subject
// replyTo and what becomes of published messages. The error is about the options.
func (b *Broker) Open(sink Sink, replyTo string) error {
	b.sink = sink
	set := []nats.Option{
		nats.Name(b.options.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait/5, reconnectWait/5),
		nats.ReconnectBufSize(-1), // what cannot be sent is sent again by those who wait for it
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(b.connected),
		nats.ReconnectHandler(b.connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else it is ours to close
				b.logger.Warn("the broker is away", log.Error(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.logger.Warn("the broker complains", log.Error(err))
		}),
	}
	if b.options.Inbox != "" {
		set = append(set, nats.CustomInboxPrefix(b.options.Inbox))
	}
	if b.options.Creds != "" {
		set = append(set, nats.UserCredentials(b.options.Creds))
	}
	conn, err := nats.Connect(b.options.URL, set...)
	if err != nil {
		return fmt.Errorf("connecting to the broker: %w", withoutURL(err))
	}
	b.conn = conn
	b.inbox = conn.NewInbox() + "."
	if err := b.subscribe(replyTo); err != nil {
		conn.Close()
		return err
	}
	return nil
}

// withoutURL leaves a URL, which may hold a password, out of the complaint about it.
func withoutURL(err error) error {
	var about *url.Error
	if errors.As(err, &about) {
		return fmt.Errorf("its URL: %w", about.Err)
	}
	return err
}

func (b *Broker) connected(conn *nats.Conn) {
	b.logger.Info("connected to the broker", zap.String("address", conn.ConnectedAddr())) // the URL holds the token
	b.connections.Add(1)
	b.doubt.Store(true)
	b.sink.Connected()
}

func (b *Broker) subscribe(replyTo string) error {
	if _, err := b.conn.Subscribe(b.inbox+"*", b.confirmed); err != nil {
		return fmt.Errorf("subscribing to confirmations: %w", err)
	}
	replies, err := b.conn.Subscribe(replyTo, b.replied)
	if err != nil {
		return fmt.Errorf("subscribing to replies: %w", err)
	}
	if err := replies.SetPendingLimits(-1, pendingReplies); err != nil {
		return fmt.Errorf("limiting pending replies: %w", err)
	}
	return nil
}

// Listen has handle called, one at a time, for each request on subject; what it returns is the answer.
func (b *Broker) Listen(subject string, handle func(request []byte) (answer []byte)) error {
	_, err := b.conn.Subscribe(subject, func(msg *nats.Msg) {
		answer := handle(msg.Data)
		if msg.Reply == "" {
			return
		}
		if err := msg.Respond(answer); err != nil {
			b.logger.Warn("answering a request", zap.String("subject", subject), log.Error(err))
		}
	})
	if err != nil {
		return fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return nil
}

// Connected reports whether the broker is there.
func (b *Broker) Connected() bool { return b.conn.IsConnected() }

// MaxBody is the largest body of a message in bytes, 0 before the first connection.
func (b *Broker) MaxBody() int {
	if limit := b.conn.MaxPayload(); limit > headroom {
		return int(limit) - headroom
	}
	return 0
}

// Replicated reports whether streams have replicas.
func (b *Broker) Replicated() bool { return b.replicated.Load() }

// Publish sends an entry message and does not wait for its confirmation.
func (b *Broker) Publish(subject string, message wire.Message) error {
	header := nats.Header(message.Header())
	header[headerMsgID] = []string{message.ID}
	err := b.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: b.inbox + message.ID, Header: header, Data: message.Body})
	if err != nil {
		return fmt.Errorf("publishing on %s: %w", subject, err)
	}
	return nil
}

// Tell publishes what nobody confirms.
func (b *Broker) Tell(subject string, text []byte) error { return b.conn.Publish(subject, text) }

const (
	surveyed = 80 * time.Millisecond // how long answers to a question are waited for
	quiet    = 15 * time.Millisecond // after which, once there are enough, no more are expected
)

// Survey asks whoever listens on subject, and has take called with each answer until time is up, or nothing more has come for a
// moment after take has said that it is enough.
func (b *Broker) Survey(subject string, header map[string][]string, body []byte, take func(answer []byte) (enough bool)) error {
	inbox := b.conn.NewInbox()
	answers, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("subscribing to answers: %w", err)
	}
	defer func() { _ = answers.Unsubscribe() }() // it fails when the connection has ended
	if err := b.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox, Header: header, Data: body}); err != nil {
		return fmt.Errorf("asking on %s: %w", subject, err)
	}
	enough := false
	for end := time.Now().Add(surveyed); ; {
		wait := time.Until(end)
		if enough {
			wait = min(wait, quiet)
		}
		answer, err := answers.NextMsg(wait)
		if err != nil {
			return nil //nolint:nilerr // time is up, or nobody listens: that was all
		}
		enough = take(answer.Data)
	}
}

// replied hands a reply on and confirms it once it is settled, which one that nobody waits for is too: its node repeats it
// otherwise.
func (b *Broker) replied(msg *nats.Msg) {
	if b.asked(msg) {
		return
	}
	settled := true
	reply, err := wire.ParseReply(msg.Header, msg.Data)
	if err != nil {
		b.logger.Warn("passing over a reply", log.Error(err))
	} else {
		settled = b.sink.Replied(reply)
	}
	if msg.Reply == "" || !settled {
		return
	}
	if err := msg.Respond(nil); err != nil {
		b.logger.Debug("confirming a reply", log.Error(err)) // the broker went away: the reply comes again
	}
}

// asked answers a node's question, if it is one.
func (b *Broker) asked(msg *nats.Msg) bool {
	requestIDs, is, err := wire.ParseQuestion(wire.AskEnded, msg.Header, msg.Data)
	if err == nil && is {
		err = msg.Respond(wire.WriteIDs(b.sink.Ended(requestIDs)))
	}
	if err != nil {
		b.logger.Warn("passing over a question", log.Error(err))
	}
	return is
}

// Await returns when the broker is there and all consumers exist, or with the context's error.
func (b *Broker) Await(ctx context.Context, consumers []plan.Source) error {
	js, err := jetstream.New(b.conn)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	const pause, complaints = 100 * time.Millisecond, 5 * time.Second
	var told time.Time
	for {
		missing := b.missing(ctx, js, consumers)
		if missing == nil {
			return nil
		}
		if time.Since(told) > complaints && ctx.Err() == nil {
			told = time.Now()
			b.logger.Info("waiting for the version's consumers", log.Error(missing))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (b *Broker) missing(ctx context.Context, js jetstream.JetStream, consumers []plan.Source) error {
	const patience = 2 * time.Second
	if !b.conn.IsConnected() {
		if err := b.conn.LastError(); err != nil {
			return fmt.Errorf("the broker is away: %w", err)
		}
		return errors.New("the broker is away")
	}
	for _, c := range consumers {
		ctx, cancel := context.WithTimeout(ctx, patience)
		consumer, err := js.Consumer(ctx, c.Stream, c.Consumer)
		cancel()
		if err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w", c.Consumer, c.Stream, err)
		}
		if cluster := consumer.CachedInfo().Cluster; cluster != nil && len(cluster.Replicas) > 0 {
			b.replicated.Store(true)
		}
	}
	return nil
}

// Close sends what is still to be sent and ends the connection.
func (b *Broker) Close(ctx context.Context) error {
	defer b.conn.Close()
	if !b.conn.IsConnected() {
		return nil
	}
	if err := b.conn.FlushWithContext(ctx); err != nil && b.conn.IsConnected() { // else it has gone meanwhile
		return fmt.Errorf("sending the last messages: %w", err)
	}
	return nil
}
