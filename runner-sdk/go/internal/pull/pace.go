package pull

import "time"

const (
	ahead   = 100 * time.Millisecond // of work that a process holds
	maxHeld = 256
)

// pace follows how fast the handler is and says how much of its work to hold.
type pace struct {
	average time.Duration // 0: nothing is known yet
}

// observe takes note of one run of the handler.
func (p *pace) observe(spent time.Duration) {
	spent = max(spent, time.Microsecond)
	if p.average == 0 {
		p.average = spent
		return
	}
	// A slow run shows at once, so that work is left to others; fast ones have to repeat.
	weight := time.Duration(8)
	if spent > p.average {
		weight = 2
	}
	p.average += (spent - p.average) / weight
}

// limit returns how many messages to hold of each of so many sources.
func (p *pace) limit(sources int) int {
	if p.average == 0 {
		return 1
	}
	return max(1, min(maxHeld, int(ahead/p.average))/sources)
}
