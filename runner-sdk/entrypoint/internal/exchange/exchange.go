// Package exchange is the heart of the entrypoint: it turns a request into an entry message and waits for the first
// answer to it. It bounds how many requests are in flight and ends in order. It knows neither how a request arrives nor
// how a message travels; errors it hands to a caller are gRPC statuses.
package exchange

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/telemetry"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// DefaultMaxInFlight is how many requests are in flight at once when nothing else is said.
const DefaultMaxInFlight = 1024

// Broker stores entry messages.
type Broker interface {
	// Publish sends a message on a subject, under its own id for deduplication, and does not wait. What became of it is
	// told to the exchange: Stored, Refused or Later, or nothing when it was lost. The error says that it was not sent.
	Publish(subject string, message wire.Message) error
	// Survey asks whoever listens on a subject, and has take called with each answer until time is up, which is soon, or nothing
	// more has come for a moment after take has said that it is enough.
	Survey(subject string, header map[string][]string, body []byte, take func(answer []byte) (enough bool)) error
	// MaxBody is the largest body in bytes that the broker takes, 0 while it is not known.
	MaxBody() int
	// Replicated reports whether streams have replicas.
	Replicated() bool
}

// Options of an exchange.
type Options struct {
	MaxInFlight int                 // requests; DefaultMaxInFlight when 0
	Telemetry   telemetry.Telemetry // where calls are counted and traced; the zero value: nowhere
}

// Exchange joins requests and answers. All methods are safe for concurrent use.
type Exchange struct {
	broker      Broker
	replyTo     string // subject on which this instance gets replies
	logger      *zap.Logger
	maxInFlight int64
	observer    observer

	inFlight atomic.Int64
	waiting  *waiting
	ended    ended
	flows    sync.Map // subject → *flow
	phase    atomic.Int32
	idle     chan struct{} // told when nothing is in flight while draining
	over     chan struct{} // closed when those who still wait have to go
}

// phase of an exchange. Only serving lets requests in.
const (
	starting = int32(iota)
	serving
	closed   // until it is opened again
	draining // for good
)

// New returns an exchange whose answers arrive on the subject replyTo. It refuses requests until Open.
func New(broker Broker, replyTo string, logger *zap.Logger, options Options) *Exchange {
	if options.MaxInFlight <= 0 {
		options.MaxInFlight = DefaultMaxInFlight
	}
	x := &Exchange{
		broker: broker, replyTo: replyTo, logger: logger, maxInFlight: int64(options.MaxInFlight),
		waiting: newWaiting(), ended: ended{most: maxEnded}, idle: make(chan struct{}, 1), over: make(chan struct{}),
	}
	x.observer = newObserver(options.Telemetry)
	return x
}

// Begin makes a call out of a request, before its payload is read. The call is there even when the error, a status for
// the caller, says that there is no use in reading on. End it in any case.
func (x *Exchange) Begin(rpc *service.RPC, caller Caller) (*Call, error) {
	call := &Call{ID: NewID(), x: x, rpc: rpc, caller: caller, begun: time.Now(), flow: x.flow(rpc.Subject)}
	x.observer.begin(call)
	if err := x.refused(call); err != nil {
		return call, err
	}
	if x.inFlight.Load() >= x.maxInFlight {
		return call, call.tooMany()
	}
	return call, nil
}

// enter admits a call that has so much time, and whose payload has been read: a slow sender takes nobody's place.
func (x *Exchange) enter(call *Call, within time.Duration) error {
	err := error(nil)
	if x.inFlight.Add(1) > x.maxInFlight {
		err = call.tooMany()
	}
	if refused := x.refused(call); refused != nil { // looked at after counting: Drain looks the other way round
		err = refused
	}
	if err == nil {
		err = call.flow.enter(call, within)
	}
	if err != nil {
		x.left()
	}
	return err
}

func (x *Exchange) refused(call *Call) error {
	switch x.phase.Load() {
	case starting:
		return call.notYet()
	case closed:
		return call.closed()
	case draining:
		return call.stopping()
	}
	if away := call.flow.away(); away != "" {
		return call.notStored(Refusal{Away: true, Text: away})
	}
	return nil
}

// Start lets requests in: everything that handles them is there.
func (x *Exchange) Start() { x.phase.CompareAndSwap(starting, serving) }

// Close refuses new requests until Open; those that wait get their answers. One that starts or stops stays as it is.
func (x *Exchange) Close() { x.phase.CompareAndSwap(serving, closed) }

// Open lets requests in again after Close.
func (x *Exchange) Open() { x.phase.CompareAndSwap(closed, serving) }

// Waiting is how many requests wait for their answers.
func (x *Exchange) Waiting() int { return int(x.inFlight.Load()) }

// Closed reports whether new requests are refused because the exchange was closed, or stops.
func (x *Exchange) Closed() bool {
	phase := x.phase.Load()
	return phase == closed || phase == draining
}

// NewID returns a new request id: a ULID.
func NewID() string {
	return ulid.MustNew(ulid.Now(), rand.Reader).String()
}

// Drain refuses new requests and returns when nobody waits any more, or when ctx ends: those who still wait then are
// sent away. Call it once.
func (x *Exchange) Drain(ctx context.Context) {
	x.phase.Store(draining)
	for x.inFlight.Load() > 0 {
		select {
		case <-x.idle:
		case <-ctx.Done():
			x.logger.Warn("stopping while requests wait", zap.Int64("requests", x.inFlight.Load()))
			close(x.over)
			return
		}
	}
}

// Serving reports whether requests are let in.
func (x *Exchange) Serving() bool { return x.phase.Load() == serving }

func (x *Exchange) left() {
	if x.inFlight.Add(-1) == 0 && x.phase.Load() == draining {
		select {
		case x.idle <- struct{}{}:
		default:
		}
	}
}

// Stored says that the entry message of a request is stored.
func (x *Exchange) Stored(requestID string) {
	if call := x.waiting.get(requestID); call != nil {
		call.accepted.CompareAndSwap(0, time.Now().UnixNano())
		call.flow.stored(call)
	}
}

// Refused says that the broker will not store the entry message of a request: the status for the caller is made from
// code and text.
func (x *Exchange) Refused(requestID string, refusal Refusal) {
	if call := x.waiting.get(requestID); call != nil {
		call.flow.forget(call)
		call.refuse(refusal)
	}
}

// Later says that the broker cannot store the entry message of a request at the moment, and the broker's reason if it gave
// one: that is the caller's too, once nothing else has been heard for a while.
func (x *Exchange) Later(requestID, reason string) {
	call := x.waiting.get(requestID)
	if call == nil {
		return
	}
	call.flow.forget(call)
	if reason != "" && call.flow.declined(reason) {
		call.refuse(Refusal{Away: true, Text: reason})
		return
	}
	call.sendAgain(false)
}

// Unconfirmed is since when the broker has owed a confirmation of what was published on a subject; zero: it owes none.
func (x *Exchange) Unconfirmed(subject string) time.Time { return x.flow(subject).oldest() }

// Overtaken says that something that was published on a subject at a time was answered: what was published there before and
// is not confirmed yet is lost, and published again. It reports whether that has happened to one of them before.
func (x *Exchange) Overtaken(subject string, at time.Time) (twice bool) {
	return x.flow(subject).overtaken(at)
}

// Outage says why nothing that is published on a subject is stored at present: requests are refused at once, with that
// reason, those that wait to be stored too. An empty reason says that all is well.
func (x *Exchange) Outage(subject, reason string) {
	f := x.flow(subject)
	if !f.setAway(reason) {
		return
	}
	if reason == "" {
		x.logger.Info("requests are stored again", zap.String("subject", subject))
		return
	}
	x.logger.Warn("requests are refused: they cannot be stored", zap.String("subject", subject), zap.String("reason", reason))
	x.waiting.each(func(call *Call) {
		if call.flow == f && call.accepted.Load() == 0 {
			call.refuse(Refusal{Away: true, Text: reason})
		}
	})
}

// Trouble tells what a person should know of a subject on which requests are published, "" when all is well.
func (x *Exchange) Trouble(subject string) string {
	f := x.flow(subject)
	if trouble := f.trouble(); trouble != "" {
		return "requests are refused: " + trouble
	}
	if oldest := f.oldest(); !oldest.IsZero() && time.Since(oldest) > sayAfter {
		return "the broker has not confirmed a request for " + time.Since(oldest).Round(time.Second).String()
	}
	return ""
}

// sayAfter is how long a confirmation may be owed without a word.
const sayAfter = 5 * time.Second

// Connected says that the broker is there again: what it has not confirmed is sent to it once more.
func (x *Exchange) Connected() {
	x.waiting.each(func(call *Call) {
		if call.accepted.Load() == 0 {
			call.sendAgain(true)
		}
	})
}

// Ended returns those of some requests that are known to have ended without an answer. It does not tell of the others whether
// they were answered, still wait, or were never here.
func (x *Exchange) Ended(requestIDs []string) []string { return x.ended.of(requestIDs) }

// Replied takes a reply or a note. The first reply to a request answers it; any other, and one to a request that nobody
// waits for, is passed over. It reports whether that settles the reply: it does not once those who waited were sent away,
// so that what is not answered stays stored with its node.
func (x *Exchange) Replied(reply wire.Reply) (settled bool) {
	if reply.IsNote() {
		if call := x.waiting.get(reply.RequestID); call != nil {
			call.keep(&reply)
		}
		return true
	}
	call := x.waiting.take(reply.RequestID)
	if call == nil {
		x.logger.Debug("reply that nobody waits for", log.RequestID(reply.RequestID), log.Node(reply.Sender),
			zap.String("kind", string(reply.Kind)))
		select {
		case <-x.over:
			return false
		default:
			return true
		}
	}
	call.answer <- reply
	return true
}
