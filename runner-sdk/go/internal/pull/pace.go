package pull

import "time"

const (
	ahead    = 100 * time.Millisecond // of work that a process holds
	maxHeld  = 256
	maxBytes = 64 << 20 // of bodies that a process holds, as far as the last ones tell
)

// pace follows how fast the handler is and how large its messages are, and says how much of its work to hold.
type pace struct {
	average time.Duration // 0: nothing is known yet
	size    int           // bytes
}

// observe takes note of one run of the handler, of a body of that size.
func (p *pace) observe(spent time.Duration, size int) {
	spent = max(spent, time.Microsecond)
	if p.average == 0 {
		p.average, p.size = spent, size
		return
	}
	p.average += (spent - p.average) / weight(spent > p.average)
	p.size += (size - p.size) / int(weight(size > p.size))
}

// weight lets what is more show at once, so that work is left to others; what is less has to repeat.
func weight(more bool) time.Duration {
	if more {
		return 2
	}
	return 8
}

// limit returns how many messages to hold of each of so many sources.
func (p *pace) limit(sources int) int {
	if p.average == 0 {
		return 1
	}
	return max(1, min(maxHeld, int(ahead/p.average), maxBytes/max(p.size, 1))/sources)
}
