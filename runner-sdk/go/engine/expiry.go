package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	askAfter  = time.Second      // that a message has waited since it was accepted
	endedWait = time.Second      // for the answer to a question
	deafWait  = 5 * time.Second  // until an entrypoint that did not answer is asked again
	tellEach  = 10 * time.Second // that messages expired
)

// mayExpire reports whether a message is of no use once its caller has gone unanswered.
func (e *engine) mayExpire(run *run) bool {
	in := run.input
	return in.Kind == wire.OK && in.ReplyTo != "" && in.Resend == 0 && !run.answered && !e.node.Finishes()
}

// expires is from when on it is asked before a run whether the caller has gone: at its deadline nobody waits any more, and one who has
// waited for long may have left before. Zero: never. A message over which processes have died is not asked for: that has to come to
// light.
func (e *engine) expires(run *run) time.Time {
	if !e.mayExpire(run) || run.suspect || run.delivery.Asked {
		return time.Time{}
	}
	return run.accepted.Add(min(run.input.Timeout, askAfter))
}

func (e *engine) late(run *run) bool {
	expires := e.expires(run)
	return !expires.IsZero() && !time.Now().Before(expires)
}

// awaited is until when a caller waits for what a handler does with a message; zero: nobody waits, or the work is done whoever does.
func (e *engine) awaited(run *run) time.Time {
	if !e.mayExpire(run) || !e.node.OnPath || !time.Now().Before(run.deadline()) {
		return time.Time{}
	}
	return run.deadline()
}

// expire asks whether a run's caller has gone unanswered, while other messages are handled. If so, the message is acknowledged;
// if it has failed before, it is kept as a dead letter. Else it has its turn. It holds a slot, which is freed.
func (e *engine) expire(hard context.Context, run *run) {
	d := run.delivery
	e.pull.Returned(d, 0)
	e.pending.Go(func() {
		defer e.free()
		d.Asked = true
		switch {
		case !e.expiry.ended(hard, run.input.ReplyTo, run.input.RequestID):
			e.pull.Postpone(d, 0)
		case d.Failure != nil:
			e.letGo(d, e.giveUp(hard, run, fmt.Errorf("%w (the caller has gone: it is not tried again)", d.Failure)))
		default:
			e.expiry.expired()
			e.pull.Acknowledge(d)
		}
	})
}

// expiry asks entrypoints which requests have ended unanswered: many in one question, one question at a time to each.
type expiry struct {
	conn     *broker.Conn
	log      *logline.Log
	observer Observer

	mu     sync.Mutex
	next   map[string][]asked   // what has gathered for the next question, by reply subject; there while one is under way
	deaf   map[string]time.Time // until when an entrypoint is not asked, by reply subject
	count  uint64               // messages that expired
	untold int                  // of which nothing was logged
	told   time.Time
}

// asked is what is asked of one request.
type asked struct {
	requestID string
	ended     chan bool // gets one answer
}

func newExpiry(conn *broker.Conn, log *logline.Log, observer Observer) *expiry {
	return &expiry{conn: conn, log: log, observer: observer, next: make(map[string][]asked), deaf: make(map[string]time.Time)}
}

// ended reports whether the entrypoint that listens on replyTo says that a request ended unanswered. It does not if the request was
// answered, is not known there, or nobody says anything.
func (x *expiry) ended(ctx context.Context, replyTo, requestID string) bool {
	q := asked{requestID: requestID, ended: make(chan bool, 1)}
	x.mu.Lock()
	if time.Now().Before(x.deaf[replyTo]) {
		x.mu.Unlock()
		return false
	}
	next, underWay := x.next[replyTo]
	x.next[replyTo] = append(next, q)
	x.mu.Unlock()
	if !underWay {
		go x.ask(ctx, replyTo)
	}
	return <-q.ended
}

// ask asks one entrypoint until there is nothing more to ask.
func (x *expiry) ask(ctx context.Context, replyTo string) {
	for {
		x.mu.Lock()
		next := x.next[replyTo]
		if len(next) == 0 {
			delete(x.next, replyTo)
			x.mu.Unlock()
			return
		}
		some := next[:min(len(next), wire.MaxAsked)]
		x.next[replyTo] = next[len(some):]
		x.mu.Unlock()
		ended := x.askFor(ctx, replyTo, some)
		for _, q := range some {
			q.ended <- slices.Contains(ended, q.requestID)
		}
	}
}

func (x *expiry) askFor(ctx context.Context, replyTo string, some []asked) (ended []string) {
	ids := make([]string, len(some))
	for i, q := range some {
		ids[i] = q.requestID
	}
	header, body := wire.Question(wire.AskEnded, ids)
	for {
		msg, err := x.conn.Ask(&nats.Msg{Subject: replyTo, Header: header, Data: body}).Wait(ctx, endedWait)
		switch {
		case err == nil:
			ended, err := wire.ReadIDs(msg.Data)
			if err != nil {
				x.log.Write(logline.Record{Level: logline.Warn, Message: "an entrypoint's answer cannot be read", Err: err.Error()})
			}
			return ended
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, broker.ErrLost), errors.Is(err, broker.ErrAway):
			x.conn.Up(ctx)
		default: // it is not there any more, or is busy: whoever does not say that nobody waits leaves work to be done
			x.mu.Lock()
			x.forgetDeaf()
			x.deaf[replyTo] = time.Now().Add(deafWait)
			x.mu.Unlock()
			return nil
		}
	}
}

// forgetDeaf needs the lock.
func (x *expiry) forgetDeaf() {
	now := time.Now()
	for replyTo, until := range x.deaf {
		if now.After(until) {
			delete(x.deaf, replyTo)
		}
	}
}

// expired counts a message that was not run, and says so now and then.
func (x *expiry) expired() {
	x.observer.Expired(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count++
	x.untold++
	if now := time.Now(); now.Sub(x.told) >= tellEach {
		noun := "messages were"
		if x.untold == 1 {
			noun = "message was"
		}
		x.log.Printf(logline.Warn, "%d %s not handled: the callers had gone before it was their turn", x.untold, noun)
		x.told, x.untold = now, 0
	}
}

// total is how many messages expired since the start.
func (x *expiry) total() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}
