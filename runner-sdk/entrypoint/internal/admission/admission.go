// Package admission decides which requests a workflow could still answer in time. It knows neither how a request arrives nor
// what answers it: only which requests wait, and when each of them was answered or ran out of time.
//
// The rule:
//
//   - A request is expected to take as many gaps as requests wait, itself among them. The gap is the time from answer to answer
//     while something waits.
//   - The base is what answers take where nothing queues.
//   - The workflow is busy where answers take much longer than the base, where requests run out of time while others are
//     answered, and where requests are refused. While it is not, the gap says how often requests come, not what the workflow
//     can do, and all are let in: so a burst is.
//   - While it is busy, a request is refused that is expected to take more than 85 % of its time.
//   - Where requests have been refused for longer than their time, this is no burst, and a long queue has no use: then one is
//     refused that is expected to take more than a fifth of its time, or than the base and some slack where that is more.
//   - That limit is too low where the queue runs empty though requests are refused: what answers take then is the base.
//   - A request is let in whenever none waits.
package admission

import (
	"container/list"
	"sync"
	"time"
)

// Parts of the time that a request has.
const (
	margin   = 0.85 // that it may be expected to take
	patience = 0.2  // that it may be expected to take under lasting load
	slack    = 0.18 // that it may under lasting load take beyond the base
	longer   = 0.1  // that answers take beyond the base where the workflow is busy
)

const (
	// forgotten is after which time a workflow is not taken for busy any more.
	forgotten = 2 * time.Second
	// pause is how long none is refused where a load does not last.
	pause = 500 * time.Millisecond
	// recent is the weight of the last value in an average.
	recent = 1.0 / 16
	// first is how many requests tell the base, from one on that finds nothing waiting.
	first = 8
	// The base follows lower averages slowly, since the lowest of them is chance.
	lower = 1.0 / 64
	// Under lasting load the base decays by this a second: one that was measured while others queued is too high.
	decay = 0.01
)

// Queue is what waits at one workflow, as one entrypoint sees it. Its methods are safe for concurrent use.
type Queue struct {
	mu      sync.Mutex
	waiting list.List // of *Request, in the order in which they came
	answers int       // so far
	tells   int       // how many more requests tell the base

	gap  average // in seconds, as are the others
	took average // what answers took
	base float64

	progress time.Time // the last answer or, if later, when something began to wait
	busy     time.Time // when the workflow was last seen busy
	refused  time.Time // when a request was last refused
	refusing time.Time // since when requests have been refused
}

// Request is one that waits.
type Request struct {
	place   *list.Element
	since   time.Time
	within  time.Duration
	answers int  // when it came
	tells   bool // how long it takes tells the base
	empty   bool // nothing waited when it came, under lasting load
}

// Refusal says how things are for a request that is not let in.
type Refusal struct {
	Waiting int           // requests
	Oldest  time.Duration // that the first of them has waited
	Expect  time.Duration // until this one would be answered
	Retry   time.Duration // after which it could be let in
}

// New returns a queue in which nothing waits.
func New() *Queue { return &Queue{} }

// Enter lets a request in that has to be answered within a time, or returns why not: it could not be, as things go. One that
// was let in has to Leave.
func (q *Queue) Enter(now time.Time, within time.Duration) (*Request, *Refusal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	empty, busy := q.waiting.Len() == 0, now.Sub(q.busy) < forgotten
	if busy && !empty {
		if expect, limit := q.expect(now), q.limit(now, within); expect > limit {
			return nil, q.refuse(now, expect, limit)
		}
	}
	if empty {
		q.progress = now
	}
	r := &Request{since: now, within: within, answers: q.answers, tells: q.tell(empty, busy), empty: empty && q.lasts(now, within)}
	r.place = q.waiting.PushBack(r)
	return r, nil
}

// Leave says that a request does not wait any more: it was answered, or its time was over, or neither.
func (q *Queue) Leave(now time.Time, r *Request, wasAnswered, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.Remove(r.place)
	if wasAnswered {
		q.learn(now, r)
	} else if over {
		q.learnMissed(now, r)
	}
}

// Sight returns how many requests wait, and how long the first of them has.
func (q *Queue) Sight(now time.Time) (waiting int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sight(now)
}

func (q *Queue) sight(now time.Time) (waiting int, oldest time.Duration) {
	front := q.waiting.Front()
	if front == nil {
		return 0, 0
	}
	return q.waiting.Len(), now.Sub(front.Value.(*Request).since)
}

func (q *Queue) refuse(now time.Time, expect, limit float64) *Refusal {
	if now.Sub(q.refused) >= pause {
		q.refusing = now
	}
	q.refused, q.busy = now, now
	waiting, oldest := q.sight(now)
	return &Refusal{Waiting: waiting, Oldest: oldest, Expect: duration(expect), Retry: duration(expect - limit)}
}

// expect is how long another request would take. What has passed of the present gap is counted.
func (q *Queue) expect(now time.Time) float64 {
	gap := q.gap.value()
	return float64(q.waiting.Len()+1)*gap - min(gap, now.Sub(q.progress).Seconds())
}

// limit is how long a request may be expected to take.
func (q *Queue) limit(now time.Time, within time.Duration) float64 {
	has := within.Seconds()
	lasting := min(max(patience*has, q.base+slack*has), (q.base+has)/2)
	if q.lasts(now, within) {
		return lasting
	}
	return max(lasting, margin*has)
}

// lasts tells whether requests have been refused for longer than the time that they have.
func (q *Queue) lasts(now time.Time, within time.Duration) bool {
	return now.Sub(q.refused) < pause && now.Sub(q.refusing) > within
}

// tell tells whether a request tells the base: the first ones do that find nothing waiting and the workflow not busy.
func (q *Queue) tell(empty, busy bool) bool {
	switch {
	case busy:
		q.tells = 0
	case empty:
		q.tells = first
	}
	if q.tells == 0 {
		return false
	}
	q.tells--
	return true
}

// learn learns from an answer.
func (q *Queue) learn(now time.Time, r *Request) {
	took := now.Sub(r.since).Seconds()
	if q.lasts(now, r.within) {
		q.base *= max(0, 1-decay*now.Sub(q.progress).Seconds())
	}
	q.answers++
	q.learnGap(now, r.within)
	q.took.add(took, recent)
	switch usual := q.took.value(); {
	case q.answers == 1:
		q.base = took
	case r.empty: // the average may still be that of an earlier queue, and one answer may be that of a fast request
		q.base = max(q.base, min(usual, took))
	case r.tells && q.answers-r.answers <= 2*first: // else it queued all the same: requests of a burst overtake each other
		q.base += (took - q.base) / first
	case usual < q.base:
		q.base += (usual - q.base) * lower
	}
	if q.took.value()-q.base > longer*r.within.Seconds() {
		q.busy = now
	}
}

// learnMissed learns from a request whose time was over.
func (q *Queue) learnMissed(now time.Time, r *Request) {
	if q.answers > r.answers { // else it may be that an empty workflow would have been too slow as well
		q.busy = now
	}
	if now.Sub(q.progress).Seconds() > q.gap.value() {
		q.learnGap(now, r.within)
	}
}

// learnGap ends a gap. A long one counts for more, as there are few of them.
func (q *Queue) learnGap(now time.Time, within time.Duration) {
	gap := now.Sub(q.progress).Seconds()
	q.gap.add(gap, min(0.5, recent+gap/within.Seconds()))
	q.progress = now
}

// average is one of the last values.
type average struct{ sum, count float64 }

// add counts a value, and the earlier ones for less by its weight.
func (a *average) add(value, weight float64) {
	a.sum = a.sum*(1-weight) + value
	a.count = a.count*(1-weight) + 1
}

func (a *average) value() float64 { return a.sum / max(a.count, 1) }

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
