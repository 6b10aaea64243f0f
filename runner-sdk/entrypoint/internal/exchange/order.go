package exchange

import (
	"sync"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/wire/inorder"
)

// order is what is on its way to one workflow's entry stream, and what the broker has said of it.
type order struct {
	mu     sync.Mutex
	under  inorder.Order[*Call]
	outage string // why the stream stores nothing at present
	no     refusing
}

// refusing is the broker's saying, again and again, that it cannot store anything at the moment.
type refusing struct {
	reason      string
	since, last time.Time
}

const (
	// declinedFor is how long a broker may refuse everything until callers are told.
	declinedFor = time.Second
	// declinedOnce is after which time another refusal has nothing to do with the one before.
	declinedOnce = 15 * time.Second
)

// send has publish send the message of a call, as the last so far.
func (o *order) send(c *Call, publish func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.under.Forget(&c.place)
	if err := publish(); err != nil {
		return err
	}
	o.under.Sent(&c.place, c)
	return nil
}

// stored says that a call's message is confirmed. What was sent before it and is not is sent again.
func (o *order) stored(c *Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.no = refusing{}
	for _, lost := range o.under.Confirmed(&c.place) {
		lost.sendAgain(true)
	}
}

// forget says that nothing more is expected of what was sent for a call.
func (o *order) forget(c *Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.under.Forget(&c.place)
}

// overtaken says that something that was sent at a time has been answered, so that what was sent before and is not confirmed
// is lost. It reports whether that has happened to one of them before.
func (o *order) overtaken(at time.Time) (twice bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, call := range o.under.Before(at) {
		call.sendAgain(true)
		call.lost++
		twice = twice || call.lost > 1
	}
	return twice
}

// oldest is since when the broker has owed a confirmation; zero: it owes none.
func (o *order) oldest() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if oldest := o.under.Oldest(); oldest != nil {
		return oldest.At
	}
	return time.Time{}
}

// declined says that the broker cannot store anything at the moment. It reports whether that has lasted.
func (o *order) declined(reason string) (lastingly bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if now.Sub(o.no.last) > declinedOnce {
		o.no.since = now
	}
	o.no.reason, o.no.last = reason, now
	return o.no.lasts(now)
}

func (r refusing) lasts(now time.Time) bool {
	return now.Sub(r.last) <= declinedOnce && now.Sub(r.since) >= declinedFor
}

// away tells why the stream stores nothing, "" when it does as far as is known.
func (o *order) away() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.outage
}

// trouble is why requests are refused, "" when they are not.
func (o *order) trouble() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.outage == "" && o.no.lasts(time.Now()) {
		return o.no.reason
	}
	return o.outage
}

// setAway reports whether that is news.
func (o *order) setAway(reason string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	news := o.outage != reason
	o.outage = reason
	return news
}
