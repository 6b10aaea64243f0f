package pull

import (
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/average"
)

const (
	ahead    = 100 * time.Millisecond // of work that a process holds
	maxHeld  = 256
	maxBytes = 64 << 20 // of bodies that a process holds, as far as the last ones tell
)

// pace follows how fast the handler is and how large its messages are, and says how much of its work to hold.
type pace struct {
	spent average.Of[time.Duration]
	size  average.Of[int] // bytes
}

// observe takes note of one run of the handler, of a body of that size.
func (p *pace) observe(spent time.Duration, size int) {
	p.spent.See(max(spent, time.Microsecond))
	p.size.See(size)
}

// limit returns how many messages to hold of each of so many sources.
func (p *pace) limit(sources int) int {
	spent := p.spent.Value()
	if spent == 0 {
		return 1 // nothing is known yet
	}
	return max(1, min(maxHeld, int(ahead/spent), maxBytes/max(p.size.Value(), 1))/sources)
}
