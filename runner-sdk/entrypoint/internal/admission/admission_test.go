package admission_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/admission"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// Callers that call again at once whatever they are told get nearly all that the replicas can do, hardly any of it is for
// callers who have gone, and when the load ends the queue is short.
func TestLastingLoad(t *testing.T) {
	type callers struct {
		count  int
		within time.Duration
	}
	for name, c := range map[string]struct {
		work     func(*rand.Rand) time.Duration
		replicas int
		entries  [][]callers
		chain    bool
		stalls   bool
		good     float64       // at least, of what the replicas can do
		wasted   float64       // at most, of the runs
		each     int           // answers that each entrypoint gets at least
		fresh    time.Duration // that a call takes at most that comes when the load ends; zero: any
	}{
		// The load that the others vary.
		"one replica": {work: constantly(20 * ms), good: 0.97, wasted: 0.02, fresh: 300 * ms},
		// The slow node is behind a fast one.
		"chain": {work: constantly(20 * ms), chain: true, good: 0.97, wasted: 0.02, fresh: 300 * ms},
		// Each entrypoint sees half of what the workflow does. The queue may be longer than that of one.
		"two entrypoints": {work: constantly(20 * ms), entries: [][]callers{{{50, time.Second}}, {{50, time.Second}}}, good: 0.95, wasted: 0.03, each: 250},
		// One entrypoint sees little of it, and its few callers are not crowded out.
		"large and small entrypoint": {work: constantly(20 * ms), entries: [][]callers{{{95, time.Second}}, {{5, time.Second}}}, good: 0.95, wasted: 0.03, each: 200, fresh: 400 * ms},
		// Each lets one in whenever none waits there, which is as many as the queue should be.
		"ten entrypoints": {work: constantly(20 * ms), entries: [][]callers{
			{{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}},
			{{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}}, {{10, time.Second}},
		}, good: 0.88, wasted: 0.1, each: 30},
		// Each lets one in whenever none waits there, and both together are all that can be answered in time.
		"two entrypoints, slow": {work: constantly(400 * ms), entries: [][]callers{{{50, time.Second}}, {{50, time.Second}}}, good: 0.75, wasted: 0.2, each: 20},
		// Few are slow, and what is behind them waits long all at once.
		"few slow": {work: either(5*ms, 200*ms, 1), good: 0.85, wasted: 0.05},
		// The fast ones alone would do with a much shorter queue.
		"half slow": {work: either(50*ms, 500*ms, 5), replicas: 10, good: 0.85, wasted: 0.05},
		"most slow": {work: either(5*ms, 500*ms, 9), replicas: 10, good: 0.75, wasted: 0.1},
		// Only two can be answered in time of those that come at once.
		"slow": {work: constantly(400 * ms), good: 0.93, wasted: 0.07},
		// Only one can.
		"very slow": {work: constantly(700 * ms), good: 0.85, wasted: 0.15},
		// The queue has to be longer than a fifth of the time to keep all busy.
		"slow, ten replicas": {work: constantly(500 * ms), replicas: 10, good: 0.85, wasted: 0.08},
		// How long a request takes says nothing of the next.
		"random":               {work: randomly(20 * ms), good: 0.95, wasted: 0.03},
		"random, slow":         {work: randomly(100 * ms), good: 0.85, wasted: 0.07},
		"random, ten replicas": {work: randomly(200 * ms), replicas: 10, good: 0.75, wasted: 0.05},
		// A short queue serves callers of both deadlines.
		"two deadlines":  {work: constantly(20 * ms), entries: [][]callers{{{50, time.Second}, {50, 200 * ms}}}, good: 0.95, wasted: 0.03, fresh: 300 * ms},
		"short deadline": {work: constantly(20 * ms), entries: [][]callers{{{100, 200 * ms}}}, good: 0.95, wasted: 0.03, fresh: 150 * ms},
		"long deadline":  {work: constantly(20 * ms), entries: [][]callers{{{1000, 10 * time.Second}}}, good: 0.9, wasted: 0.1},
		// Nothing is answered for a fifth of the time, so that four fifths can be done.
		"stalls":                {work: constantly(20 * ms), stalls: true, good: 0.73, wasted: 0.05},
		"stalls, ten replicas":  {work: constantly(100 * ms), replicas: 10, stalls: true, good: 0.73, wasted: 0.05},
		"stalls, slow handlers": {work: constantly(200 * ms), stalls: true, good: 0.7, wasted: 0.12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(c.work)
			w.last().replicas = max(1, c.replicas)
			if c.chain {
				w.before(constantly(ms))
			}
			if c.stalls {
				w.stalls()
			}
			if c.entries == nil {
				c.entries = [][]callers{{{100, time.Second}}}
			}
			for i, entry := range c.entries {
				if i > 0 {
					w.enter()
				}
				for _, group := range entry {
					w.callers(group.count, w.entries[i], group.within)
				}
			}
			f := w.run(30 * time.Second)
			w.stopping = true
			fresh := w.fresh()
			t.Logf("good %.3f wasted %.3f answered %d fresh %v", f.good(w, 30*time.Second), f.waste(), f.answered, fresh.Round(ms))
			require.GreaterOrEqual(t, f.good(w, 30*time.Second), c.good)
			require.LessOrEqual(t, f.waste(), c.wasted)
			for _, entry := range w.entries {
				require.GreaterOrEqual(t, entry.answered, c.each)
			}
			if c.fresh > 0 {
				require.Less(t, fresh, c.fresh)
			}
		})
	}
}

// A handler that is slower than the time of its callers is no reason to refuse: an empty workflow would be too slow as well.
func TestSlowerThanTheTime(t *testing.T) {
	w := newWorld(constantly(1400 * ms))
	w.callers(10, w.entries[0], time.Second)
	f := w.run(30 * time.Second)
	require.Zero(t, f.refused)
	require.Zero(t, f.answered)
}

// When replicas are added, callers get what they can do soon; and it settles when they are taken away.
func TestScale(t *testing.T) {
	for _, callers := range []int{100, 900} {
		for _, c := range []struct{ work, within time.Duration }{
			{20 * ms, 3 * time.Second}, {100 * ms, 3 * time.Second}, {500 * ms, 10 * time.Second},
		} {
			t.Run(fmt.Sprintf("%d callers, %v", callers, c.work), func(t *testing.T) {
				t.Parallel()
				w := newWorld(constantly(c.work))
				w.callers(callers, w.entries[0], time.Second)
				w.run(5 * time.Second)
				w.last().replicas = 10
				w.run(c.within)
				up := w.run(3*time.Second).good(w, 3*time.Second)
				w.last().replicas = 1
				w.run(8 * time.Second)
				f := w.run(5 * time.Second)
				t.Logf("up %.3f down %.3f wasted %.3f", up, f.good(w, 5*time.Second), f.waste())
				require.GreaterOrEqual(t, up, 0.85)
				require.GreaterOrEqual(t, f.good(w, 5*time.Second), 0.85)
				require.LessOrEqual(t, f.waste(), 0.1)
			})
		}
	}
}

// A burst that can be answered in time is let in wholly, after idling and after a low load; of one that cannot, as many are
// answered as the time allows, and hardly any runs are for callers who have gone.
func TestBurst(t *testing.T) {
	for _, replicas := range []int{1, 10} {
		for _, low := range []float64{0, 10, 25} {
			t.Run(fmt.Sprintf("%d replicas, %v calls a second before", replicas, low), func(t *testing.T) {
				for _, count := range []int{10, 40} {
					w := newWorld(constantly(20 * ms))
					w.last().replicas = replicas
					w.calls(low, time.Second)
					w.run(5 * time.Second)
					w.stopping = true
					w.burst(count*replicas, time.Second)
					f := w.run(3 * time.Second)
					require.Zero(t, f.refused)
					require.Zero(t, f.over)
					require.GreaterOrEqual(t, f.answered, count*replicas)
				}
				w := newWorld(constantly(20 * ms))
				w.last().replicas = replicas
				w.calls(low, time.Second)
				w.run(5 * time.Second)
				w.stopping = true
				w.burst(400*replicas, time.Second)
				f := w.run(3 * time.Second)
				require.GreaterOrEqual(t, f.answered, 40*replicas)
				require.LessOrEqual(t, f.waste(), 0.05)
			})
		}
	}
}

// While a burst is being answered the workflow is known to be busy; still a second one is let in up to the margin.
func TestBurstAfterBurst(t *testing.T) {
	w := newWorld(constantly(20 * ms))
	for range 10 {
		w.burst(40, time.Second)
		w.run(1500 * ms)
	}
	require.Zero(t, w.refused)
	require.Equal(t, 400, w.answered)
}

// Nothing is refused under a load that the workflow can do, however its calls come.
func TestLowLoad(t *testing.T) {
	for name, c := range map[string]struct {
		work      func(*rand.Rand) time.Duration
		replicas  int
		perSecond float64
	}{
		"idle most of the time": {constantly(20 * ms), 1, 10},
		"often more than one":   {constantly(20 * ms), 1, 30},
		"close to the limit":    {constantly(20 * ms), 1, 45},
		// How long a request takes says nothing of the next.
		"random":              {randomly(20 * ms), 1, 30},
		"few slow":            {either(5*ms, 200*ms, 1), 1, 10},
		"ten replicas, slow":  {constantly(500 * ms), 10, 8},
		"ten replicas, mixed": {either(50*ms, 500*ms, 5), 10, 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(c.work)
			w.last().replicas = c.replicas
			w.calls(c.perSecond, time.Second)
			f := w.run(2 * time.Minute)
			require.Zero(t, f.refused)
			require.Zero(t, f.over)
		})
	}
}

// One that is refused learns how things are, and is let in after the time that it was told.
func TestRefusal(t *testing.T) {
	q, now := admission.New(), time.Unix(1000, 0)
	waiting, oldest := q.Sight(now)
	require.Zero(t, waiting)
	require.Zero(t, oldest)

	var requests []*admission.Request
	for range 100 {
		r, refusal := q.Enter(now, time.Second)
		require.Nil(t, refusal, "nothing is known")
		requests = append(requests, r)
	}
	for _, r := range requests[:30] {
		now = now.Add(20 * ms)
		q.Leave(now, r, true, false)
	}
	waiting, oldest = q.Sight(now)
	require.Equal(t, 70, waiting)
	require.Equal(t, 600*ms, oldest)

	r, refusal := q.Enter(now, time.Second)
	require.Nil(t, r)
	require.Equal(t, 70, refusal.Waiting)
	require.Equal(t, 600*ms, refusal.Oldest)
	require.InDelta(t, 71*20*ms, refusal.Expect, float64(5*ms))
	require.InDelta(t, 71*20*ms-850*ms, refusal.Retry, float64(5*ms))

	for end := now.Add(refusal.Retry + 20*ms); now.Before(end); requests = requests[1:] {
		now = now.Add(20 * ms)
		q.Leave(now, requests[30], true, false)
	}
	r, refusal = q.Enter(now, time.Second)
	require.Nil(t, refusal)
	q.Leave(now, r, false, false)
	_, refusal = q.Enter(now.Add(2*time.Second), ms)
	require.Nil(t, refusal, "what was known is forgotten")
}

// One is let in whenever none waits, whatever is known.
func TestNoneWaits(t *testing.T) {
	q, now := admission.New(), time.Unix(1000, 0)
	for range 100 {
		a, refusal := q.Enter(now, time.Second)
		require.Nil(t, refusal)
		b, _ := q.Enter(now, time.Second)
		now = now.Add(900 * ms)
		q.Leave(now, a, true, false)
		now = now.Add(100 * ms)
		if b != nil {
			q.Leave(now, b, false, true)
		}
	}
}

// What a request costs does not depend on how many wait.
func BenchmarkEnterAndLeave(b *testing.B) {
	for _, waiting := range []int{1, 32, 1000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q, now := admission.New(), time.Unix(1000, 0)
			requests := make([]*admission.Request, waiting)
			for i := range requests {
				requests[i], _ = q.Enter(now, time.Hour)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now = now.Add(50 * time.Microsecond)
				q.Leave(now, requests[i%waiting], true, false)
				requests[i%waiting], _ = q.Enter(now, time.Hour)
			}
		})
	}
}
