package exchange

import (
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	// endedFor is for how long is known that a request ended unanswered.
	endedFor = 10 * time.Minute
	endedAge = time.Minute // of those that are forgotten together
	maxEnded = 1 << 20     // known at a time, some 40 bytes each
)

// ended are the requests that ended unanswered. Nodes ask for them before they run what is past its time.
type ended struct {
	most int // how many are known; beyond it the oldest are forgotten

	mu    sync.Mutex
	ages  []age // the oldest first
	count int
}

// age holds those that ended within the same while.
type age struct {
	begun time.Time
	ids   map[ulid.ULID]struct{}
}

// add takes note of a request's end.
func (e *ended) add(requestID string, now time.Time) {
	id, err := ulid.ParseStrict(requestID)
	if err != nil {
		return // it is none of ours
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(now)
	if last := len(e.ages) - 1; last < 0 || now.Sub(e.ages[last].begun) >= endedAge {
		e.ages = append(e.ages, age{begun: now, ids: map[ulid.ULID]struct{}{}})
	}
	e.ages[len(e.ages)-1].ids[id] = struct{}{}
	e.count++
}

// forget forgets what is old, and the oldest of what is too much. The lock is held.
func (e *ended) forget(now time.Time) {
	for len(e.ages) > 0 && (now.Sub(e.ages[0].begun) >= endedFor+endedAge || e.count >= e.most) {
		e.count -= len(e.ages[0].ids)
		e.ages[0] = age{}
		e.ages = e.ages[1:]
	}
}

// of returns those of some requests that are known to have ended unanswered.
func (e *ended) of(requestIDs []string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var known []string
	for _, requestID := range requestIDs {
		id, err := ulid.ParseStrict(requestID)
		if err != nil {
			continue
		}
		for i := len(e.ages) - 1; i >= 0; i-- {
			if _, there := e.ages[i].ids[id]; there {
				known = append(known, requestID)
				break
			}
		}
	}
	return known
}
