package admission_test

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/admission"
)

// world is a workflow with its entrypoints and callers. Its time is its own.
type world struct {
	now      time.Time
	events   events
	count    int // of events ever
	random   *rand.Rand
	nodes    []*node
	entries  []*entry
	stalled  time.Time     // until when nothing is answered
	noise    time.Duration // that the network adds at most, each way
	stopping bool          // callers do not call again

	figures
}

// figures are what has happened.
type figures struct {
	answered int
	runs     int           // of the last node
	wasted   int           // of them, for callers who had gone
	over     int           // calls whose time was over
	refused  int           // calls
	work     time.Duration // of the last node, for calls that were answered
}

func (f figures) since(g figures) figures {
	return figures{f.answered - g.answered, f.runs - g.runs, f.wasted - g.wasted, f.over - g.over, f.refused - g.refused, f.work - g.work}
}

// good is the part that was of use of what the replicas could have done in a time.
func (f figures) good(w *world, d time.Duration) float64 {
	return f.work.Seconds() / d.Seconds() / float64(w.last().replicas)
}

// waste is the part of the runs that were for callers who had gone.
func (f figures) waste() float64 { return float64(f.wasted) / float64(max(1, f.runs)) }

// node takes requests from a stream, in order, one per replica at a time, and drops those whose callers have gone.
type node struct {
	replicas int
	work     func(*rand.Rand) time.Duration
	busy     int
	stream   []*call
	next     *node // nil: answers
}

// entry is an entrypoint, and what has happened there.
type entry struct {
	*admission.Queue
	answered, over, refused int
}

// call is one request of a caller.
type call struct {
	entry   *entry
	request *admission.Request
	came    time.Time
	gone    bool
	work    time.Duration
	then    func(outcome)
}

type outcome struct {
	answered, refused bool
	took              time.Duration
	refusal           *admission.Refusal
}

type event struct {
	at    time.Time
	count int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].count < e[j].count
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// newWorld has one entrypoint, and one node with one replica.
func newWorld(work func(*rand.Rand) time.Duration) *world {
	w := &world{
		now: time.Unix(1000, 0), random: rand.New(rand.NewPCG(1, 2)), noise: 3 * time.Millisecond,
		nodes: []*node{{replicas: 1, work: work}},
	}
	w.enter()
	return w
}

// before puts a node before the others.
func (w *world) before(work func(*rand.Rand) time.Duration) {
	w.nodes = append([]*node{{replicas: 1, work: work, next: w.nodes[0]}}, w.nodes...)
}

// last is the node that answers.
func (w *world) last() *node { return w.nodes[len(w.nodes)-1] }

// enter adds an entrypoint.
func (w *world) enter() { w.entries = append(w.entries, &entry{Queue: admission.New()}) }

func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.events, event{w.now.Add(d), w.count, do})
}

// run lets time pass, and returns what happened meanwhile.
func (w *world) run(d time.Duration) figures {
	before := w.figures
	for end := w.now.Add(d); ; {
		if len(w.events) == 0 || w.events[0].at.After(end) {
			w.now = end
			return w.since(before)
		}
		next := heap.Pop(&w.events).(event)
		w.now = next.at
		next.do()
	}
}

// hop is a time that a message takes.
func (w *world) hop() time.Duration {
	return time.Duration(w.random.Float64() * float64(w.noise))
}

// ask makes a call.
func (w *world) ask(at *entry, within time.Duration, then func(outcome)) {
	request, refusal := at.Enter(w.now, within)
	if refusal != nil {
		w.refused++
		at.refused++
		then(outcome{refused: true, refusal: refusal})
		return
	}
	c := &call{entry: at, request: request, came: w.now, then: then}
	w.after(within, func() {
		if !c.gone {
			c.gone = true
			w.over++
			at.over++
			at.Leave(w.now, c.request, false, true)
			then(outcome{took: within})
		}
	})
	w.publish(w.nodes[0], c)
}

func (w *world) publish(n *node, c *call) {
	w.after(w.hop(), func() {
		n.stream = append(n.stream, c)
		w.serve(n)
	})
}

func (w *world) serve(n *node) {
	for n.busy < n.replicas && len(n.stream) > 0 {
		c := n.stream[0]
		n.stream = n.stream[1:]
		if c.gone {
			continue
		}
		n.busy++
		c.work = n.work(w.random)
		w.after(c.work, func() { w.served(n, c) })
	}
}

func (w *world) served(n *node, c *call) {
	if w.now.Before(w.stalled) {
		w.after(w.stalled.Sub(w.now), func() { w.served(n, c) })
		return
	}
	n.busy--
	w.serve(n)
	if n.next != nil {
		w.publish(n.next, c)
		return
	}
	w.runs++
	w.after(w.hop(), func() { w.answer(c) })
}

func (w *world) answer(c *call) {
	if c.gone {
		w.wasted++
		return
	}
	c.gone = true
	w.answered++
	w.work += c.work
	c.entry.answered++
	c.entry.Leave(w.now, c.request, true, false)
	c.then(outcome{answered: true, took: w.now.Sub(c.came)})
}

// callers call again at once, whatever they are told; a refusal takes a moment, the longer the more they are.
func (w *world) callers(count int, at *entry, within time.Duration) {
	p := &pressing{w: w, at: at, within: within, moment: max(5*time.Millisecond, time.Duration(count)*20*time.Microsecond)}
	for range count {
		w.after(w.hop(), p.call)
	}
	p.press()
}

// pressing are callers of whom many are refused at a time: that is done once in a millisecond for all whose turn it is.
type pressing struct {
	w       *world
	at      *entry
	within  time.Duration
	moment  time.Duration
	refused int     // callers
	due     float64 // calls of those
}

// call makes a call of one who was not refused last.
func (p *pressing) call() {
	if p.w.stopping {
		return
	}
	p.w.ask(p.at, p.within, func(o outcome) {
		if o.refused {
			p.refused++
			return
		}
		p.w.after(200*time.Microsecond+p.w.hop()/10, p.call)
	})
}

// press makes the calls of those who were refused. Where one is refused, so are the others at that time.
func (p *pressing) press() {
	if p.w.stopping {
		return
	}
	p.due += float64(p.refused) * float64(time.Millisecond) / float64(p.moment)
	for p.due >= 1 && p.refused > 0 {
		before := p.refused
		p.refused--
		p.due--
		if p.call(); p.refused == before {
			more := int(p.due)
			p.w.refused += more
			p.at.refused += more
			p.due -= float64(more)
		}
	}
	p.w.after(time.Millisecond, p.press)
}

// burst makes calls at once.
func (w *world) burst(count int, within time.Duration) {
	for range count {
		w.ask(w.entries[0], within, func(outcome) {})
	}
}

// calls makes calls at random times, so many a second.
func (w *world) calls(perSecond float64, within time.Duration) {
	if perSecond == 0 {
		return
	}
	pause := time.Duration(w.random.ExpFloat64() / perSecond * float64(time.Second))
	w.after(pause, func() {
		if !w.stopping {
			w.ask(w.entries[0], within, func(outcome) {})
			w.calls(perSecond, within)
		}
	})
}

// stalls stops everything for 100 to 300 ms each second.
func (w *world) stalls() {
	w.after(time.Duration(w.random.Float64()*0.7*float64(time.Second)), func() {
		w.stalled = w.now.Add(100*time.Millisecond + time.Duration(w.random.Float64()*0.2*float64(time.Second)))
	})
	w.after(time.Second, w.stalls)
}

// fresh is how long a call takes whose caller never gives up.
func (w *world) fresh() time.Duration {
	var took time.Duration
	w.ask(w.entries[0], time.Hour, func(o outcome) { took = o.took })
	w.run(20 * time.Second)
	return took
}

func constantly(d time.Duration) func(*rand.Rand) time.Duration {
	return func(*rand.Rand) time.Duration { return d }
}

// randomly takes times that vary as those between calls of many do.
func randomly(mean time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// either is slow in so many of ten.
func either(fast, slow time.Duration, slowOf10 int) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		if r.IntN(10) < slowOf10 {
			return slow
		}
		return fast
	}
}
