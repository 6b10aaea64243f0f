package worker

import "time"

const (
	// lively is how long a worker that ends no run has to live to count as one that works.
	lively     = 30 * time.Second
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// backoff says how long to wait before a worker is started again: not at all after one that worked, and the first time,
// then ever longer while they die without having done anything.
type backoff struct{ pause time.Duration }

// next returns the pause after a death.
func (b *backoff) next(worked bool, lived time.Duration) time.Duration {
	if worked || lived >= lively {
		b.pause = 0
	}
	pause := b.pause
	b.pause = min(max(firstPause, 2*pause), lastPause)
	return pause
}
