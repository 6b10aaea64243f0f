package pull

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holding is a puller that holds messages 1 to 6 of its only source, stored in that order: 1 was handed on and has returned, 2
// and 3 were handed on, 4 is postponed, 5 and 6 have yet to have their turn.
func holding() *Puller {
	p := &Puller{held: make(map[key]*Delivery), sources: []source{{asked: 1}}}
	for i, state := range []state{returned, running, running, postponed, queued, queued} {
		n := uint64(i + 1)
		d := &Delivery{Sequence: n, Stored: time.Unix(int64(n), 0), state: state}
		p.held[d.key()] = d
		switch state {
		case queued:
			p.queue = append(p.queue, d)
		case returned, running:
			p.turns++
			d.turn = p.turns
		case postponed:
		}
	}
	return p
}

func sequences(all []*Delivery) (found []uint64) {
	for _, d := range all {
		found = append(found, d.Sequence)
	}
	return found
}

func TestLookTellsTheOrderOfTurns(t *testing.T) {
	sight := holding().Look()
	require.Equal(t, []uint64{2, 3, 5, 6}, sequences(sight.Line))
	require.Equal(t, []uint64{4}, sequences(sight.Postponed))
	require.Equal(t, []uint64{1}, sequences(sight.Returned))
}

func TestWhatWasHandedOnWaitsForTheFirst(t *testing.T) {
	messages, oldest, more := holding().Waiting()
	require.Equal(t, 4, messages, "3 to 6")
	require.Equal(t, time.Unix(3, 0), oldest)
	require.False(t, more, "the source is asked for more: nothing waits elsewhere")
}
