package pull

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceHoldsATenthOfASecondOfWork(t *testing.T) {
	tests := []struct {
		name    string
		spent   []time.Duration
		sources int
		want    int
	}{
		{"one message before anything is known", nil, 1, 1},
		{"one message per source before anything is known", nil, 3, 1},
		{"as many as fit into it", []time.Duration{10 * time.Millisecond}, 1, 10},
		{"shared by the sources", []time.Duration{10 * time.Millisecond}, 2, 5},
		{"256 of a fast handler", []time.Duration{time.Nanosecond}, 1, 256},
		{"256 in all of a fast handler", []time.Duration{time.Nanosecond}, 2, 128},
		{"one of a slow handler", []time.Duration{time.Hour}, 1, 1},
		{"one per source of a slow handler", []time.Duration{time.Hour}, 5, 1},
		{"few at once when a fast handler turns slow", []time.Duration{time.Millisecond, time.Second}, 1, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p pace
			for _, spent := range test.spent {
				p.observe(spent, 100)
			}
			require.Equal(t, test.want, p.limit(test.sources))
		})
	}
}

func TestPaceFindsBackToAFastHandler(t *testing.T) {
	var p pace
	p.observe(time.Second, 100)
	for range 200 {
		p.observe(time.Microsecond, 100)
	}
	require.Equal(t, maxHeld, p.limit(1))
}

func TestPaceHoldsFewLargeMessages(t *testing.T) {
	var p pace
	p.observe(time.Microsecond, maxBytes/4)
	require.Equal(t, 4, p.limit(1))
	p.observe(time.Microsecond, 2*maxBytes)
	require.Equal(t, 1, p.limit(1))
	for range 200 {
		p.observe(time.Microsecond, 100)
	}
	require.Equal(t, maxHeld, p.limit(1))
}
