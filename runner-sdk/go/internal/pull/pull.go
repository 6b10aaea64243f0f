// Package pull brings messages of durable consumers to a node: as many as its handler is fast, each kept in progress as
// long as it is held. It knows nothing of what the messages mean.
package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
)

// What is answered to a delivery.
var (
	acknowledged = []byte("+ACK") // a constant that Go has no word for
	inProgress   = []byte("+WPI") // as above
	givenBack    = []byte("-NAK") // as above
)

const (
	heartbeat = 500 * time.Millisecond // between two signs of life for what is held
	expires   = 30 * time.Second       // of a request for messages
	idle      = 2 * time.Second        // between two signs of life of the broker for a request
	silence   = 5 * time.Second        // after which a request is taken for lost
	pause     = 200 * time.Millisecond // after a refused request

	gather = 20 * time.Millisecond // for how long acknowledgements wait for each other
	atOnce = 64                    // of them are enough
)

// Consumer names a durable pull consumer.
type Consumer struct {
	Stream, Name string
}

type source struct {
	Consumer
	inbox string // subject that its messages and the broker's remarks come to
	sub   *nats.Subscription
	asked int       // messages that are on their way for all we know
	heard time.Time // when the source last said anything
	again time.Time // not to be asked before
}

// Puller holds messages of its sources.
type Puller struct {
	conn    *broker.Conn
	log     *logline.Log
	changed chan struct{}  // has one element when the queue may have grown
	open    sync.WaitGroup // subscriptions

	mu       sync.Mutex
	sources  []source
	pace     pace
	held     map[key]*Delivery
	queue    []*Delivery
	done     []*Delivery // held until they are acknowledged together
	soon     *time.Timer // when that is
	counting []int       // by source: what is queued or running
	waiting  int         // postponed
	turns    uint64
	paused   bool
	stopped  bool
}

// New returns a puller for consumers, which exist. It asks for nothing before Start.
func New(conn *broker.Conn, log *logline.Log, consumers []Consumer) *Puller {
	p := &Puller{
		conn: conn, log: log,
		changed:  make(chan struct{}, 1),
		held:     make(map[key]*Delivery),
		counting: make([]int, len(consumers)),
	}
	for _, consumer := range consumers {
		p.sources = append(p.sources, source{Consumer: consumer})
	}
	return p
}

// Start begins to ask for messages. Keep has to run beside it.
func (p *Puller) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.OnReconnect(p.restart)
	return p.ask()
}

// ask listens for every source and begins to ask, unless that has to wait. The lock is held.
func (p *Puller) ask() error {
	if p.stopped || p.paused {
		return nil
	}
	for i := range p.sources {
		if err := p.subscribe(i); err != nil {
			return err
		}
	}
	p.refill()
	return nil
}

// subscribe listens for what source i is asked for, on a subject of its own: what was asked for before goes elsewhere. The
// lock is held.
func (p *Puller) subscribe(i int) error {
	s := &p.sources[i]
	s.inbox = p.conn.NewInbox()
	sub, err := p.conn.Subscribe(s.inbox, func(msg *nats.Msg) { p.receive(i, msg) })
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", s.Name, s.Stream, err)
	}
	p.open.Add(1)
	sub.SetClosedHandler(func(string) { p.open.Done() })
	s.sub = sub
	return nil
}

// Keep keeps in progress what is held, and asks again where the broker has fallen silent, until ctx ends.
func (p *Puller) Keep(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.beat()
			p.renew(now)
		}
	}
}

func (p *Puller) beat() {
	if !p.conn.Connected() {
		return // the client would keep them all
	}
	p.mu.Lock()
	subjects := make([]string, 0, len(p.held))
	for _, d := range p.held {
		subjects = append(subjects, d.ack)
	}
	p.mu.Unlock()
	for _, subject := range subjects {
		_ = p.conn.Send(subject, inProgress) // the next one follows soon
	}
}

func (p *Puller) renew(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sources {
		if s := &p.sources[i]; s.asked > 0 && now.Sub(s.heard) > silence {
			s.asked = 0
		}
	}
	p.refill()
}

// restart forgets what was asked for over a connection that is lost.
func (p *Puller) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sources {
		p.sources[i].asked = 0
	}
	p.refill()
}

// refill asks each source for what may still be held of it. The lock is held.
func (p *Puller) refill() {
	if p.stopped || p.paused || !p.conn.Connected() {
		return
	}
	limit := p.pace.limit(len(p.sources))
	now := time.Now()
	total := p.waiting
	for i := range p.sources {
		total += p.counting[i] + p.sources[i].asked
	}
	for i := range p.sources {
		s := &p.sources[i]
		have := p.counting[i] + s.asked
		room := min(limit-have, max(maxHeld, len(p.sources))-total)
		// Asking for every single message would cost a message each.
		if room <= 0 || have > limit/2 || now.Before(s.again) {
			continue
		}
		if err := p.request(i, room); err != nil {
			continue // the connection is being made again, after which everything is asked for again
		}
		s.asked += room
		s.heard = now
		total += room
	}
}

func (p *Puller) request(i, messages int) error {
	body, err := json.Marshal(map[string]int64{
		"batch": int64(messages), "expires": int64(expires), "idle_heartbeat": int64(idle),
	})
	if err != nil {
		return fmt.Errorf("asking for messages: %w", err)
	}
	s := p.sources[i]
	return p.conn.Publish(&nats.Msg{
		Subject: "$JS.API.CONSUMER.MSG.NEXT." + s.Stream + "." + s.Name,
		Reply:   s.inbox,
		Data:    body,
	})
}
