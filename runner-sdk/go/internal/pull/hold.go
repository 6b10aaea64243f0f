package pull

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Next returns the message whose turn it is, and waits for one. It returns nil when ctx has ended or Stop was called.
func (p *Puller) Next(ctx context.Context) *Delivery {
	for {
		if d, stopped := p.pop(); d != nil || stopped {
			return d
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Puller) pop() (d *Delivery, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		p.signal() // for the next one who asks
		return nil, true
	}
	if len(p.queue) == 0 {
		return nil, false
	}
	d = p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.turns++
	d.state, d.turn = running, p.turns
	return d, false
}

// Returned says that the handler of d has ended, after that time; 0 says that none was needed. From now on d does not
// count as work.
func (p *Puller) Returned(d *Delivery, spent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if spent > 0 {
		p.pace.observe(spent, len(d.Body))
	}
	p.discount(d)
	d.state = returned
	p.refill()
}

func (p *Puller) discount(d *Delivery) {
	switch {
	case d.counts():
		p.counting[d.source]--
	case d.state == postponed:
		p.waiting--
	}
}

// Postpone lets d have its turn again after a while; others go on meanwhile.
func (p *Puller) Postpone(d *Delivery, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.paused {
		p.release(d, givenBack)
		return
	}
	p.discount(d)
	d.state = postponed
	p.waiting++
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held[d.key()] != d {
			return // given back in between
		}
		p.waiting--
		p.enqueue(d)
	})
}

// Acknowledge tells the broker that d is done with, and lets go of it.
func (p *Puller) Acknowledge(d *Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(d, acknowledged)
}

// AcknowledgeSoon is Acknowledge together with others, a little later: they go in one write, and a stream through which messages go
// one by one is not empty after each of them, when nats-server would make a new file for it.
func (p *Puller) AcknowledgeSoon(d *Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, d)
	switch {
	case p.stopped || len(p.done) >= atOnce:
		p.settle()
	case len(p.done) == 1:
		p.soon = time.AfterFunc(gather, p.Settle)
	}
}

// Settle acknowledges what was to be acknowledged soon.
func (p *Puller) Settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
}

// settle needs the lock.
func (p *Puller) settle() {
	if p.soon != nil {
		p.soon.Stop() // the next ones have their own time
	}
	for _, d := range p.done {
		p.release(d, acknowledged)
	}
	p.done = nil
}

// GiveBack lets the broker deliver d again, to anybody, and lets go of it.
func (p *Puller) GiveBack(d *Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(d, givenBack)
}

func (p *Puller) release(d *Delivery, answer []byte) {
	if p.held[d.key()] != d {
		return
	}
	delete(p.held, d.key())
	p.discount(d)
	d.state = returned
	_ = p.conn.Send(d.ack, answer) // lost, the message comes again, and what it led to is known by its id
	p.refill()
}

// Stop asks for nothing more and gives back what has not had its turn, or waits for another one. What is in its handler
// or waits for confirmations stays held.
func (p *Puller) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.settle()
	p.leave()
	p.signal()
}

// Pause is Stop until Resume is called.
func (p *Puller) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped && !p.paused {
		p.paused = true
		p.leave()
	}
}

// Resume asks for messages again, after Pause.
func (p *Puller) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || !p.paused {
		return
	}
	p.paused = false
	_ = p.ask() // it fails only when the connection has ended, and with it the process
}

// leave gives up what was asked for and what has not had its turn. The lock is held.
func (p *Puller) leave() {
	for i := range p.sources {
		s := &p.sources[i]
		if s.sub != nil && s.sub.Drain() != nil {
			p.open.Done() // it fails only when the connection has ended, and then nothing comes
		}
		s.sub, s.asked = nil, 0
	}
	for _, d := range p.held {
		if d.state == queued || d.state == postponed {
			p.release(d, givenBack)
		}
	}
	p.queue = nil
}

// Drained returns when, after Stop, everything that was still on its way has been given back, or when ctx ends.
func (p *Puller) Drained(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		p.open.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Waiting tells of the messages that are held and wait for their turn, or for their next attempt, and when the oldest of them was
// stored; and whether more may wait elsewhere: of some source nothing is asked for now. Of those that were handed on to be handled
// the first is, and the others wait.
func (p *Puller) Waiting() (messages int, oldest time.Time, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.turns + 1
	for _, d := range p.held {
		if d.state == running {
			first = min(first, d.turn)
		}
	}
	for _, d := range p.held {
		if d.state == returned || d.state == running && d.turn == first {
			continue
		}
		messages++
		if oldest.IsZero() || d.Stored.Before(oldest) {
			oldest = d.Stored
		}
	}
	for _, s := range p.sources {
		more = more || s.asked == 0
	}
	return messages, oldest, more
}

// Sight is what a process holds at a moment.
type Sight struct {
	Line      []*Delivery // in the order of their turns: first those in handlers, then those that wait for their turn
	Postponed []*Delivery // they wait for another attempt
	Returned  []*Delivery // they wait for confirmations
}

// Look returns what is held. Of a delivery only what never changes may be read: what came with it.
func (p *Puller) Look() Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s Sight
	for _, d := range p.held {
		switch d.state {
		case running:
			s.Line = append(s.Line, d)
		case postponed:
			s.Postponed = append(s.Postponed, d)
		case returned:
			if !slices.Contains(p.done, d) {
				s.Returned = append(s.Returned, d)
			}
		case queued: // they follow in order
		}
	}
	slices.SortFunc(s.Line, func(a, b *Delivery) int { return cmp.Compare(a.turn, b.turn) })
	s.Line = append(s.Line, p.queue...)
	return s
}

// Held returns how many messages are held.
func (p *Puller) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// GiveBackAll gives back whatever is still held.
func (p *Puller) GiveBackAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.held {
		p.release(d, givenBack)
	}
}
