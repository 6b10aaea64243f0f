package exchange

import (
	"container/list"
	"sync"
	"time"
)

// order is what is on its way to one workflow's entry stream. The broker takes what one connection sends to a stream in
// order, and confirms in that order: what is still unconfirmed when something behind it has been confirmed is lost.
type order struct {
	mu     sync.Mutex
	sent   *list.List // of *Call whose message is sent and not confirmed, in the order in which they were sent
	outage string     // why the stream stores nothing at present
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
	o.remove(c)
	if err := publish(); err != nil {
		return err
	}
	c.sentAt = time.Now()
	c.place = o.sent.PushBack(c)
	return nil
}

// stored says that a call's message is confirmed. What was sent before it and is not is sent again.
func (o *order) stored(c *Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.no = refusing{}
	if c.place == nil {
		return
	}
	for e := o.sent.Front(); e != c.place; e = o.sent.Front() {
		o.again(e)
	}
	o.remove(c)
}

// forget says that nothing more is expected of what was sent for a call.
func (o *order) forget(c *Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(c)
}

// overtaken says that something that was sent at a time has been answered, so that what was sent before and is not confirmed
// is lost. It reports whether that has happened to one of them before.
func (o *order) overtaken(at time.Time) (twice bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.sent.Front(); e != nil && e.Value.(*Call).sentAt.Before(at); e = o.sent.Front() {
		call := o.again(e)
		call.lost++
		twice = twice || call.lost > 1
	}
	return twice
}

// oldest is since when the broker has owed a confirmation; zero: it owes none.
func (o *order) oldest() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if front := o.sent.Front(); front != nil {
		return front.Value.(*Call).sentAt
	}
	return time.Time{}
}

// again has a call send its message once more. The lock is held.
func (o *order) again(e *list.Element) *Call {
	call := e.Value.(*Call)
	o.remove(call)
	call.sendAgain(true)
	return call
}

// remove needs the lock.
func (o *order) remove(c *Call) {
	if c.place != nil {
		o.sent.Remove(c.place)
		c.place = nil
	}
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
