package bench

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

// Overload: more is asked of a version than its replicas can do, by callers who call again at once whatever they are told.
// What the replicas can do is measured in the same run.

var overloadLasts = flag.Duration("overload", 30*time.Second, "how long the first scenario of overload lasts")

const (
	pressing    = 100              // callers under overload
	shorter     = 10 * time.Second // how long the other scenarios last
	busy        = 8                // callers that keep a replica busy and do not overload it
	usual       = 20               // milliseconds that a handler takes
	theirWait   = time.Second      // the workflows' timeout
	recovers    = 5 * time.Second  // when a version that does not recover is given up
	moreAfter   = 2 * time.Second  // when replicas are added
	moreBy      = 9
	burstFits   = 40 // this many at once can be answered in time
	burstTooBig = 400
)

// scenario is a kind of overload.
type scenario struct {
	name        string
	rpc         string
	entrypoints int
	lasts       time.Duration
	measured    time.Duration // how long what the replica can do is measured
	work        func() int32  // milliseconds that a call asks for
	grow        bool          // add replicas meanwhile
}

func alwaysUsual() int32 { return usual }

// fastAndSlow is 5 ms for nine of ten calls, and 200 ms for the tenth.
func fastAndSlow() int32 {
	if rand.IntN(10) == 0 {
		return 200
	}
	return 5
}

// BenchmarkOverload measures what is answered under overload, how soon the rest is refused, how many handlers run for callers
// who have gone, and how soon all is well afterwards. The figures are those of the first scenario, the table shows all.
func BenchmarkOverload(b *testing.B) {
	scenarios := []scenario{
		{name: "one replica", rpc: "One", lasts: *overloadLasts, measured: 5 * time.Second},
		{name: "chain", rpc: "Chain"},
		{name: "two entrypoints", rpc: "One", entrypoints: 2},
		{name: "1 to 10 replicas", rpc: "One", grow: true},
		{name: "fast and slow", rpc: "One", work: fastAndSlow},
	}
	var table []row
	for i, s := range scenarios {
		b.Run(s.name, func(b *testing.B) {
			got := s.withDefaults().measure(b)
			table = append(table, got)
			if i == 0 {
				got.record(b)
			}
		})
	}
	b.Run("burst", func(b *testing.B) { table = append(table, bursts(b)...) })
	printTable(b, table)
}

func (s scenario) withDefaults() scenario {
	s.entrypoints = max(s.entrypoints, 1)
	if s.lasts == 0 {
		s.lasts, s.measured = shorter, 2*time.Second
	}
	if s.work == nil {
		s.work = alwaysUsual
	}
	return s
}

func (s scenario) measure(b *testing.B) row {
	b.Helper()
	v := startPressed(b, s.rpc)
	v.connect(b, v.run.Info.GRPC)
	for range s.entrypoints - 1 {
		v.connect(b, v.anotherEntrypoint(b))
	}
	able := v.able(b, s.measured, s.work)
	load := v.press(b, pressing, s.lasts, s.work)
	var added []time.Time
	if s.grow {
		time.Sleep(moreAfter)
		added = v.moreReplicas(b, moreBy)
	}
	seen := load.wait()
	answers, work := seen.worked(load.began, load.until)
	possible := s.lasts
	for _, ready := range added {
		possible += max(0, load.until.Sub(ready))
	}
	r := newRow(s.name, able, seen)
	r.rate = float64(answers) / s.lasts.Seconds()
	r.goodput = work.Seconds() / (able.share * possible.Seconds())
	after := v.recover(b)
	r.recovery = after.took
	r.wasted, r.runs = v.wasted(b, load.began, seen, &after.outcome)
	v.stop(b)
	return r
}

// bursts measures what becomes of many calls at once, where nobody called before: what can be answered in time has to be.
func bursts(b *testing.B) []row {
	b.Helper()
	v := startPressed(b, "One")
	v.connect(b, v.run.Info.GRPC)
	able := v.able(b, 2*time.Second, alwaysUsual)
	var rows []row
	for _, calls := range []int{burstFits, burstTooBig} {
		time.Sleep(theirWait) // idle
		began := time.Now()
		seen := v.atOnce(b, calls, usual)
		answers, work := seen.worked(began, time.Now())
		r := newRow(fmt.Sprintf("burst of %d", calls), able, seen)
		possible := min(able.share*theirWait.Seconds(), (time.Duration(calls) * usual * time.Millisecond).Seconds())
		r.rate, r.goodput = float64(answers)/time.Since(began).Seconds(), work.Seconds()/possible
		after := v.recover(b)
		r.recovery = after.took
		r.wasted, r.runs = v.wasted(b, began, seen, &after.outcome)
		rows = append(rows, r)
	}
	v.stop(b)
	return rows
}

// row is what a scenario came to.
type row struct {
	scenario string
	able     float64 // answers per second of one replica without overload
	rate     float64 // answers per second
	told     map[codes.Code]int
	goodput  float64       // work that was answered, of the work that the replicas can do
	refusal  time.Duration // median
	runs     int
	wasted   float64 // share of the runs of the node that is worst
	recovery time.Duration
}

func newRow(name string, able ability, seen *outcome) row {
	r := row{scenario: name, able: able.rate, told: map[codes.Code]int{}}
	for code, took := range seen.took {
		r.told[code] = len(took)
	}
	if took := seen.took[codes.ResourceExhausted]; len(took) > 0 {
		slices.Sort(took)
		r.refusal = took[len(took)/2]
	}
	return r
}

func (r row) record(b *testing.B) {
	b.Helper()
	record(b, "overload_goodput", r.goodput, fmt.Sprintf("of %.0f answers/s; at least 0.85", r.able))
	if r.refused() > 0 { // else there is no such figure
		record(b, "overload_refusal_p50_ms", milliseconds(r.refusal), "less than 50")
	}
	record(b, "overload_wasted_runs", r.wasted, fmt.Sprintf("of %d runs; at most 0.05", r.runs))
	record(b, "overload_recovery_ms", milliseconds(r.recovery), "at most 300")
}

func (r row) refused() int { return r.told[codes.ResourceExhausted] }

func (r row) others() int {
	sum := -r.told[codes.OK] - r.refused() - r.told[codes.DeadlineExceeded]
	for _, n := range r.told {
		sum += n
	}
	return sum
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// printTable shows all scenarios.
func printTable(b *testing.B, rows []row) {
	b.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "overload\tone replica/s\tanswers/s\tanswered\trefused\ttimed out\tother\tgoodput\trefusal p50 ms\truns\twasted\trecovery ms\t")
	for _, r := range rows {
		refusal := "-"
		if r.refused() > 0 {
			refusal = fmt.Sprintf("%.2f", milliseconds(r.refusal))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t%.2f\t%s\t%d\t%.3f\t%.0f\t\n", r.scenario, r.able, r.rate, r.told[codes.OK], r.refused(),
			r.told[codes.DeadlineExceeded], r.others(), r.goodput, refusal, r.runs, r.wasted, milliseconds(r.recovery))
	}
	require.NoError(b, w.Flush())
}
