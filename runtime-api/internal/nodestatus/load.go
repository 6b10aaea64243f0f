package nodestatus

import "time"

// Load is what waits, and what has been counted of messages and calls that waited too long.
type Load struct {
	Waiting    int64         // messages that are stored for the node and not handled yet; calls that wait for their answers
	Oldest     time.Duration // how long the oldest of them has waited
	Expired    int64         // messages that were dropped because their callers had gone
	Refused    int64         // calls that were refused because they could not have been answered in time
	Unanswered int64         // calls whose time was over without an answer
}

// WorkflowLoad is the load of a workflow.
type WorkflowLoad struct {
	Workflow string
	Load
}

// counts is the load without what waits.
func (l Load) counts() Load {
	l.Waiting, l.Oldest = 0, 0
	return l
}

// after is what a process has counted that had counted before, and now says l. No count becomes less.
func (l Load) after(before Load) Load {
	l.Expired = max(l.Expired, before.Expired)
	l.Refused = max(l.Refused, before.Refused)
	l.Unanswered = max(l.Unanswered, before.Unanswered)
	return l
}

// join adds what waits elsewhere, and what was counted there.
func (l *Load) join(other Load) {
	l.Waiting += other.Waiting
	l.Oldest = max(l.Oldest, other.Oldest)
	l.Expired += other.Expired
	l.Refused += other.Refused
	l.Unanswered += other.Unanswered
}

// tally counts over all processes of a node, also those that are gone.
type tally struct{ expired, refused, unanswered counter }

// add counts what a process counted between two loads that it told; slots are as of counter.add.
func (t *tally) add(before, now Load, slot int64) {
	t.expired.add(now.Expired-before.Expired, slot)
	t.refused.add(now.Refused-before.Refused, slot)
	t.unanswered.add(now.Unanswered-before.Unanswered, slot)
}

// total is all that was counted.
func (t *tally) total() Load {
	return Load{Expired: t.expired.total, Refused: t.refused.total, Unanswered: t.unanswered.total}
}

// lately is what was counted in the last minute.
func (t *tally) lately(slot int64) Load {
	return Load{Expired: t.expired.lately(slot), Refused: t.refused.lately(slot), Unanswered: t.unanswered.lately(slot)}
}

const (
	// slotTime and slots make the last minute. As the newest slot is not over yet, it may be shorter by one; it is never longer.
	slotTime = 5 * time.Second
	slots    = 12
	// longAgo is the slot of what happened nobody knows when.
	longAgo = -slots
	// maxCount is more than anything counts.
	maxCount = 1_000_000_000_000
)

// counter counts what happens, and what of it happened in the last minute.
type counter struct {
	total  int64
	recent [slots]int64
	newest int64 // slot
}

// add counts n more in a slot of time, which is not before the newest one unless it is longAgo.
func (c *counter) add(n, slot int64) {
	c.total = min(c.total+n, maxCount)
	if slot != longAgo {
		c.turn(slot)
		c.recent[slot%slots] = min(c.recent[slot%slots]+n, maxCount)
	}
}

// lately is how many were counted in the minute that ends with a slot.
func (c *counter) lately(slot int64) (n int64) {
	c.turn(slot)
	for _, one := range c.recent {
		n += one
	}
	return min(n, c.total)
}

// turn forgets the slots that are longer ago than a minute.
func (c *counter) turn(slot int64) {
	for next := max(c.newest, slot-slots) + 1; next <= slot; next++ {
		c.recent[next%slots] = 0
	}
	c.newest = max(c.newest, slot)
}
