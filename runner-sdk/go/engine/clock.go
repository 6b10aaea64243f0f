package engine

import (
	"sync"
	"time"
)

// clock is the broker's, as far as this process knows it: deadlines are times of that clock. The broker tells its time with
// each look at a consumer, and what it tells is old by the time it arrives: of the last few, the one that arrived the
// soonest is gone by. Between two looks this process's own clock goes on, whatever it shows.
type clock struct {
	mu    sync.Mutex
	looks []hour // the latest last
	best  hour
}

// hour is what the broker's clock showed when it was last known, and what this process's showed when that was heard.
type hour struct{ broker, own time.Time }

const maxLooks = 6 // that are compared

// set takes note of what the broker's clock showed, as it was heard now.
func (c *clock) set(broker, now time.Time) {
	if broker.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.looks) == maxLooks {
		c.looks = c.looks[1:]
	}
	c.looks = append(c.looks, hour{broker, now})
	c.best = c.looks[0]
	for _, look := range c.looks[1:] {
		if look.broker.Sub(c.best.broker) > look.own.Sub(c.best.own) {
			c.best = look
		}
	}
}

// own returns when it is that time of the broker's for this process; the same time where the broker's clock is not known.
func (c *clock) own(broker time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.best.broker.IsZero() {
		return broker
	}
	return c.best.own.Add(broker.Sub(c.best.broker))
}
