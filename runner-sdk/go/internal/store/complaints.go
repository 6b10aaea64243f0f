package store

import (
	"sync"
	"time"
)

const complainEach = 10 * time.Second

// complaints thins out the log of what is tried again for ever, by many at a time.
type complaints struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether somebody may complain now.
func (c *complaints) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.last.IsZero() || now.Sub(c.last) >= complainEach {
		c.last = now
		return true
	}
	return false
}
