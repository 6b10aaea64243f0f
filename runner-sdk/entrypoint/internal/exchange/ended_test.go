package exchange

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatEndedUnansweredIsKnownForTenMinutes(t *testing.T) {
	e := ended{most: 100}
	now := time.Unix(1000, 0)
	first, second, never := NewID(), NewID(), NewID()
	e.add(first, now)
	e.add("no id", now)
	now = now.Add(90 * time.Second)
	e.add(second, now)
	require.Equal(t, []string{second, first}, e.of([]string{second, never, first, "no id"}))
	e.add(NewID(), now.Add(endedFor-90*time.Second-time.Millisecond))
	require.Len(t, e.of([]string{first, second}), 2)
	e.add(NewID(), now.Add(endedFor))
	require.Equal(t, []string{second}, e.of([]string{first, second}))
	e.add(NewID(), now.Add(endedFor+2*endedAge))
	require.Empty(t, e.of([]string{first, second}))
}

func TestNoMoreIsKnownThanThereIsRoomFor(t *testing.T) {
	e := ended{most: 3}
	now := time.Unix(1000, 0)
	ids := []string{NewID(), NewID(), NewID(), NewID()}
	for _, id := range ids {
		e.add(id, now)
		now = now.Add(endedAge)
	}
	require.Equal(t, ids[1:], e.of(ids))
}
