package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

// crowd are versions that log into one stream.
type crowd struct {
	logs  *broker.Logs
	after map[string]uint64
}

func (c *crowd) log(t *testing.T, version, process string, lines ...string) {
	t.Helper()
	var records []logbook.Record
	for _, line := range lines {
		records = append(records, logbook.Record{
			Process: logbook.Process{Version: version, Name: process, Node: process}, Text: []byte(line), File: "f", After: c.after[version+process],
		})
	}
	last, err := c.logs.Append(t.Context(), records)
	if err != nil { // as a follower does: its last line was dropped
		require.ErrorIs(t, err, logbook.ErrMoved)
		position, err := c.logs.Last(t.Context(), version, process)
		require.NoError(t, err)
		c.after[version+process] = position.Sequence
		c.log(t, version, process, lines...)
		return
	}
	c.after[version+process] = last
}

// held are the lines of a version, the oldest first.
func (c *crowd) held(t *testing.T, version string) (lines []string) {
	t.Helper()
	first, next, err := c.logs.Span(t.Context(), version, time.Time{}, time.Time{})
	require.NoError(t, err)
	require.NoError(t, c.logs.Read(t.Context(), version, first, next, func(line logbook.Line) bool {
		lines = append(lines, string(line.Text))
		return true
	}))
	return lines
}

func numbered(begin, count, length int) (lines []string) {
	for i := begin; i < begin+count; i++ {
		lines = append(lines, fmt.Sprintf("%08d", i)+strings.Repeat("x", length))
	}
	return lines
}

func TestNoVersionDropsTheLinesOfAnotherThatHasLess(t *testing.T) {
	const limit = 4 << 20
	b, _ := open(t)
	opts := broker.LogOptions{MaxAge: time.Hour, MaxBytes: limit}
	c := &crowd{logs: b.Logs(opts), after: make(map[string]uint64)}
	quiet, some := numbered(0, 300, 200), numbered(0, 1_500, 400)
	c.log(t, "quiet", "w.n-0", quiet[:200]...)
	c.log(t, "quiet", "entrypoint-0", quiet[200:]...)
	for i := 0; i < len(some); i += 250 {
		c.log(t, "some", "w.n-0", some[i:i+250]...)
	}
	for name, attack := range map[string][]string{
		"short lines":    numbered(0, 100_000, 0),
		"ordinary lines": numbered(0, 60_000, 150),
		"long lines":     numbered(0, 200, 100_000),
		"many processes": numbered(0, 60_000, 151),
	} {
		t.Run(name, func(t *testing.T) {
			c.logs = b.Logs(opts) // another runtime-api has taken over
			batch := max(1, min(1_000, 200_000/len(attack[0])))
			for i := 0; i < len(attack); i += batch {
				process := "w.n-0"
				if name == "many processes" {
					process = fmt.Sprintf("w.n-%d", i/batch%100)
				}
				c.log(t, "loud", process, attack[i:min(i+batch, len(attack))]...)
			}
			require.Equal(t, quiet, c.held(t, "quiet"))
			require.Equal(t, some, c.held(t, "some"))
			held := c.held(t, "loud")
			require.Equal(t, attack[len(attack)-1], held[len(held)-1])
			bytes := 0
			for _, line := range held {
				bytes += len(line)
			}
			if name == "long lines" {
				require.Greater(t, bytes, limit/2, "what nobody else needs it may have")
			}
		})
	}
}

func TestVersionsThatLogTooMuchKeepEquallyMuch(t *testing.T) {
	b, _ := open(t)
	c := &crowd{logs: b.Logs(broker.LogOptions{MaxAge: time.Hour, MaxBytes: 4 << 20}), after: make(map[string]uint64)}
	c.log(t, "quiet", "w.n-0", "the only one")
	for i := range 150 {
		c.log(t, "a", "w.n-0", numbered(100*i, 100, 300)...)
		c.log(t, "b", "w.n-0", numbered(50*i, 50, 300)...) // half as fast
		c.log(t, "c", "w.n-0", numbered(25*i, 25, 300)...)
	}
	require.Equal(t, []string{"the only one"}, c.held(t, "quiet"))
	a, other, third := len(c.held(t, "a")), len(c.held(t, "b")), len(c.held(t, "c"))
	for _, held := range []int{a, other, third} {
		require.InDelta(t, (a+other+third)/3, held, float64(a+other+third)/6)
	}
}
