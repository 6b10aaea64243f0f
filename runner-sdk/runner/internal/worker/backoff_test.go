package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWorkersThatDoNothingButDieAreStartedEverMoreSlowly(t *testing.T) {
	var b backoff
	for _, want := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
		8 * time.Second, 16 * time.Second, lastPause, lastPause} {
		require.Equal(t, want, b.next(false, time.Second))
	}
	require.Zero(t, b.next(true, time.Second), "it had worked")
	require.Equal(t, firstPause, b.next(false, time.Second))
	require.Zero(t, b.next(false, lively), "it had lived")
}
