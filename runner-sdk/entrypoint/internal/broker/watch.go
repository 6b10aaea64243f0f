package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/krt/plan"
)

const (
	watchEach = 250 * time.Millisecond
	// owing is how long the broker may owe a confirmation before it is asked whether it still answers.
	owing = time.Second
	// settling is how long JetStream may be away while the broker is there, as when a stream has just been made.
	settling = time.Second
	asking   = 2 * time.Second
	probing  = 30 * time.Second

	// headerExpectedStream has the broker refuse a message that is meant for another stream, without storing anything.
	headerExpectedStream = "Nats-Expected-Stream"
	noStream             = "none"
	// probePrefix begins what stands for a request's id in the answer to such a message; no request's does.
	probePrefix = "probe-"
)

// Watch tells the sink when what is published for these workflows is not stored though the broker is there, until ctx ends.
// There are two ways in which that is known. JetStream is not there, or has no such stream: it is asked, once something was
// answered so. Or a stream's disk is full or broken: nats-server then keeps silent about each message that it cannot write,
// for as long as it runs. What does not fit to the stream it still refuses, in order, so that a message behind which such a
// one was refused is known to be lost.
func (b *Broker) Watch(ctx context.Context, workflows []plan.EntrypointTarget) error {
	js, err := jetstream.New(b.conn)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	w := watch{Broker: b, js: js}
	for _, workflow := range workflows {
		w.streams = append(w.streams, &watched{subject: workflow.Subject, consumer: plan.Source{Stream: workflow.Stream}})
		for _, consumer := range workflow.Consumers {
			if consumer.Stream == workflow.Stream {
				w.streams[len(w.streams)-1].consumer = consumer
				break
			}
		}
	}
	tick := time.NewTicker(watchEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if b.conn.IsConnected() {
			w.look(ctx)
		}
	}
}

type watch struct {
	*Broker
	js          jetstream.JetStream
	streams     []*watched
	connections uint64
	count       int // of probes
}

// watched is the entry stream of a workflow.
type watched struct {
	subject  string
	consumer plan.Source // one of its consumers

	away   time.Time    // since when JetStream has said that there is no such thing
	drops  atomic.Bool  // it keeps silent about what it is sent, and will for as long as the broker runs
	probed atomic.Int64 // when something that is to be refused was sent, in Unix nanoseconds; 0: none is under way
}

func (w *watch) look(ctx context.Context) {
	if now := w.Broker.connections.Load(); now != w.connections {
		w.connections = now
		w.probes.Clear() // their answers are lost
		for _, s := range w.streams {
			s.drops.Store(false) // it may be another server, or the same one that was restarted
			s.probed.Store(0)
		}
	}
	if w.doubt.Swap(false) {
		for _, s := range w.streams {
			if !w.ask(ctx, s) {
				w.doubt.Store(true)
			}
		}
	}
	for _, s := range w.streams {
		w.probe(s)
	}
}

// ask asks JetStream for a stream and tells the sink what follows. It reports whether all is known to be well.
func (w *watch) ask(ctx context.Context, s *watched) bool {
	if s.drops.Load() {
		return true // that is known already
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	_, err := w.js.Consumer(ctx, s.consumer.Stream, s.consumer.Consumer)
	var refused *jetstream.APIError
	switch {
	case err == nil:
		s.away = time.Time{}
		w.sink.Outage(s.subject, "")
		return true
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		w.gone(s, "the broker stores nothing at present, as when its disk is full")
	case errors.As(err, &refused) && refused.Code < serverSide:
		w.gone(s, fmt.Sprintf("stream %s: %s", s.consumer.Stream, refused.Description))
	}
	return false // and nothing new is known without an answer
}

func (w *watch) gone(s *watched, reason string) {
	if s.away.IsZero() {
		s.away = time.Now()
	}
	if time.Since(s.away) >= settling {
		w.sink.Outage(s.subject, reason)
	}
}

// probe finds out whether a stream that owes confirmations has lost the messages.
func (w *watch) probe(s *watched) {
	oldest := w.sink.Unconfirmed(s.subject)
	if s.drops.Load() || oldest.IsZero() || time.Since(oldest) < owing || time.Since(time.Unix(0, s.probed.Load())) < probing || w.Replicated() {
		return // where there are replicas, what is refused does not wait for what is stored
	}
	w.doubt.Store(true) // there may be no such stream, and somebody else who listens
	w.count++
	id := probePrefix + strconv.Itoa(w.count)
	message := nats.NewMsg(s.subject)
	message.Reply = w.inbox + id
	message.Header.Set(headerExpectedStream, noStream)
	now := time.Now()
	s.probed.Store(now.UnixNano())
	w.probes.Store(id, probe{s, now})
	if err := w.conn.PublishMsg(message); err != nil {
		w.probes.Delete(id)
		s.probed.Store(0)
	}
}

// probe is something under way that is to be refused.
type probe struct {
	of   *watched
	sent time.Time
}

// refused takes the answer to a probe, after all confirmations that came before it.
func (b *Broker) refused(id string, msg *nats.Msg) {
	found, there := b.probes.LoadAndDelete(id)
	if !there || msg.Header.Get("Status") != "" {
		return
	}
	p := found.(probe)
	if b.sink.Overtaken(p.of.subject, p.sent) {
		p.of.drops.Store(true)
		b.sink.Outage(p.of.subject, "stream "+p.of.consumer.Stream+" loses what it is sent, as when its disk is full or broken")
	}
	p.of.probed.Store(0)
}
