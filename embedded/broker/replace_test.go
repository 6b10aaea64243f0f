package broker

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watched is the watch of a broker, that ended before it found anything.
func watched(t *testing.T) *watch {
	t.Helper()
	return watchedIn(t, t.TempDir())
}

func watchedIn(t *testing.T, dir string) *watch {
	t.Helper()
	b, err := Start(t.Context(), Options{StoreDir: dir})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	b.end()
	<-b.ended
	return &watch{Broker: b, told: make(map[string]bool)}
}

func TestWaitsForItsPort(t *testing.T) {
	w := watched(t)
	w.shut()
	l, err := net.Listen("tcp", w.Addr())
	require.NoError(t, err)
	go func() {
		time.Sleep(200 * time.Millisecond)
		assert.NoError(t, l.Close())
	}()
	require.NoError(t, w.replace(t.Context(), true))
	require.True(t, w.server.Running())
}

func TestStoresAgainAfterJetStreamHasShutItselfDown(t *testing.T) {
	w := watched(t)
	require.Empty(t, w.fault())
	require.NoError(t, w.server.ShutdownJetStream())
	why := w.fault()
	require.Equal(t, "JetStream has shut itself down", why)
	w.ceaseToStore(t.Context(), why)
	require.Equal(t, why, w.Reason())
	require.True(t, w.server.Running())
	require.False(t, w.server.JetStreamEnabled())
	w.tryToStore(t.Context())
	require.Empty(t, w.Reason())
	require.True(t, w.server.JetStreamEnabled())
}

func TestWaitsLongerForADiskThatFailsAgainAndAgain(t *testing.T) {
	w := watched(t)
	var pauses []time.Duration
	for range 7 {
		before := time.Now()
		w.ceaseToStore(t.Context(), "x")
		pauses = append(pauses, w.pause)
		require.False(t, w.next.After(time.Now().Add(longestPause)))
		require.False(t, w.next.Before(before))
		w.resumed = time.Now()
	}
	require.Equal(t, []time.Duration{
		500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, longestPause, longestPause, longestPause,
	}, pauses)

	w.resumed = time.Now().Add(-2 * steadyAfter)
	w.ceaseToStore(t.Context(), "x")
	require.False(t, w.next.After(time.Now()))
}

func TestAProbeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	enough, err := room(dir)
	require.NoError(t, err)
	require.True(t, enough)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = room(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
