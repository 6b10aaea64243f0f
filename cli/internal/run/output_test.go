package run

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFileIsBusyWhenItChangesMoreOftenThanAPersonSaves(t *testing.T) {
	o := newOutputs()
	at := time.Now()
	for range 20 { // now and then, for as long as one likes
		require.Empty(t, o.busy([]string{"model.bin"}, at))
		at = at.Add(3 * time.Second)
	}
	for range busyChanges - 1 {
		require.Empty(t, o.busy([]string{"out.csv"}, at))
	}
	require.Equal(t, []string{"out.csv"}, o.busy([]string{"out.csv", "model.bin"}, at))
	require.True(t, o.unwatched("out.csv"))
	require.False(t, o.unwatched("model.bin"))
	require.Empty(t, o.busy([]string{"out.csv"}, at), "it is told once")
}
