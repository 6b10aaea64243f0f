package pull

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// receive takes what comes for a source: a message, or what the broker has to say about a request.
func (p *Puller) receive(i int, msg *nats.Msg) {
	if status := msg.Header.Get("Status"); status != "" && len(msg.Data) == 0 {
		p.remark(i, status, msg.Header)
		return
	}
	d, err := newDelivery(i, msg)
	if err != nil {
		p.log.Write(logline.Record{
			Level: logline.Error, Message: "something that is no delivery came to the inbox of stream " + p.sources[i].Stream, Err: err.Error(),
		})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.sources[i]
	s.heard = d.Received
	s.asked = max(0, s.asked-1)
	if p.stopped || p.paused {
		_ = p.conn.Send(d.ack, givenBack) // unheard, it goes elsewhere when the wait for its acknowledgement ends
		return
	}
	if p.held[d.key()] != nil {
		return // delivered again because a sign of life was late
	}
	p.held[d.key()] = d
	p.enqueue(d)
	p.refill()
}

// enqueue puts d at the end of the queue. The lock is held.
func (p *Puller) enqueue(d *Delivery) {
	d.state = queued
	p.counting[d.source]++
	p.queue = append(p.queue, d)
	p.signal()
}

func (p *Puller) signal() {
	select {
	case p.changed <- struct{}{}:
	default: // whoever waits will look anyway
	}
}

// remark takes note of what the broker says about a request for messages.
func (p *Puller) remark(i int, status string, header nats.Header) {
	const (
		alive    = "100"
		timedOut = "408"
	)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.sources[i]
	s.heard = time.Now()
	if status == alive {
		return
	}
	// A request has ended; this many of its messages will not come.
	left, err := strconv.Atoi(header.Get("Nats-Pending-Messages"))
	if err != nil {
		left = s.asked
	}
	s.asked = max(0, s.asked-left)
	if status != timedOut {
		s.again = s.heard.Add(pause)
		p.log.Printf(logline.Debug, "stream %s, consumer %s: the broker ends a request for messages: %s %s",
			s.Stream, s.Name, status, header.Get("Description"))
		time.AfterFunc(pause, p.resume)
		return
	}
	p.refill()
}

func (p *Puller) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
}
