package bench

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// ownWait is the callers' own deadline: the workflow's is sooner.
const ownWait = 10 * time.Second

// outcome is what callers were told.
type outcome struct {
	answered map[string]bool      // by request id
	gone     map[string]time.Time // by request id: when its caller was told something else, and not that it is refused
	took     map[codes.Code][]time.Duration
	answers  []answered
}

// answered is when a call was answered, and the time that its handler took.
type answered struct {
	at   time.Time
	work time.Duration
}

func newOutcome() outcome {
	return outcome{answered: map[string]bool{}, gone: map[string]time.Time{}, took: map[codes.Code][]time.Duration{}}
}

func (o *outcome) add(more outcome) {
	maps.Copy(o.answered, more.answered)
	maps.Copy(o.gone, more.gone)
	for code, took := range more.took {
		o.took[code] = append(o.took[code], took...)
	}
	o.answers = append(o.answers, more.answers...)
}

// worked counts the answers in a time, and sums up what their handlers took.
func (o *outcome) worked(from, until time.Time) (answers int, work time.Duration) {
	for _, a := range o.answers {
		if a.at.After(from) && a.at.Before(until) {
			answers++
			work += a.work
		}
	}
	return answers, work
}

// call makes a call on one of the connections, keeps what it is told, and returns that.
func (v *pressed) call(ctx context.Context, connection int, ms int32, into *outcome) codes.Code {
	ctx, cancel := context.WithTimeout(ctx, ownWait)
	defer cancel()
	var header metadata.MD
	began := time.Now()
	// An Int32Value has the same bytes as an overload.Work, and its code is generated.
	err := v.conns[connection%len(v.conns)].Invoke(ctx, "/overload.Overload/"+v.rpc, wrapperspb.Int32(ms),
		new(wrapperspb.Int32Value), grpc.Header(&header))
	now, code := time.Now(), status.Code(err)
	into.took[code] = append(into.took[code], now.Sub(began))
	for _, id := range header.Get("x-request-id") {
		switch code {
		case codes.OK:
			into.answered[id] = true
			into.answers = append(into.answers, answered{now, time.Duration(ms) * time.Millisecond})
		case codes.ResourceExhausted:
		default:
			into.gone[id] = now
		}
	}
	return code
}

// load is a number of callers, each of which calls again at once whatever it is told.
type load struct {
	began, until time.Time
	group        sync.WaitGroup
	mu           sync.Mutex
	seen         outcome
}

func (v *pressed) press(b *testing.B, callers int, lasts time.Duration, work func() int32) *load {
	b.Helper()
	now := time.Now()
	l := &load{began: now, until: now.Add(lasts), seen: newOutcome()}
	for caller := range callers {
		l.group.Go(func() {
			mine := newOutcome()
			for time.Now().Before(l.until) {
				v.call(b.Context(), caller, work(), &mine)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.seen.add(mine)
		})
	}
	return l
}

// wait returns when the last call has come back.
func (l *load) wait() *outcome {
	l.group.Wait()
	return &l.seen
}

// atOnce makes so many calls at once.
func (v *pressed) atOnce(b *testing.B, calls int, ms int32) *outcome {
	b.Helper()
	l := &load{seen: newOutcome()}
	start := make(chan struct{})
	for caller := range calls {
		l.group.Go(func() {
			mine := newOutcome()
			<-start
			v.call(b.Context(), caller, ms, &mine)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.seen.add(mine)
		})
	}
	close(start)
	return l.wait()
}

// ability is what one replica can do.
type ability struct {
	rate  float64 // answers per second
	share float64 // of its time in which the handler does what is asked for
}

// able measures what the replica can do: callers keep it busy and do not overload it.
func (v *pressed) able(b *testing.B, lasts time.Duration, work func() int32) ability {
	b.Helper()
	seen := v.press(b, busy, lasts, work).wait()
	require.Len(b, seen.took, 1, "without overload everything is answered: %v", seen.took)
	require.Greater(b, len(seen.answers), 1)
	slices.SortFunc(seen.answers, func(a, b answered) int { return a.at.Compare(b.at) })
	// From one answer to another, so that no part of a handler's time is counted.
	first, last := seen.answers[0].at, seen.answers[len(seen.answers)-1].at
	answers, done := seen.worked(first, last.Add(1))
	spent := last.Sub(first).Seconds()
	return ability{rate: float64(answers) / spent, share: done.Seconds() / spent}
}

// recovered is what fresh calls were told after a load, and how long it took until one was answered.
type recovered struct {
	outcome
	took time.Duration
}

// recover calls until it is answered. It gives up at some time.
func (v *pressed) recover(b *testing.B) recovered {
	b.Helper()
	r := recovered{outcome: newOutcome()}
	ended := time.Now()
	for time.Since(ended) < recovers && v.call(b.Context(), 0, usual, &r.outcome) != codes.OK {
		time.Sleep(time.Millisecond)
	}
	r.took = time.Since(ended)
	return r
}
