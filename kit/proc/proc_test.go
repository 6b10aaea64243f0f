package proc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThePauseDoublesUpToItsLimitAndBeginsAnewAfterAGoodWhile(t *testing.T) {
	b := Backoff{}.withDefaults()
	pause := time.Duration(0)
	var pauses []time.Duration
	for range 6 {
		pause = b.next(pause, time.Second)
		pauses = append(pauses, pause)
	}
	require.Equal(t, []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 2 * time.Second,
	}, pauses)
	require.Equal(t, 100*time.Millisecond, b.next(pause, 10*time.Second))
}
