package engine

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestACrewKeepsItsGoroutinesUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		var ran atomic.Int64
		together := func(n int) {
			hold := make(chan struct{})
			for range n {
				c.Go(func() {
					<-hold
					ran.Add(1)
				})
			}
			close(hold)
			c.Wait()
			synctest.Wait()
		}
		before := runtime.NumGoroutine()
		together(10)
		require.EqualValues(t, 10, ran.Load())
		require.Equal(t, before+10, runtime.NumGoroutine())
		together(10)
		require.Equal(t, before+10, runtime.NumGoroutine(), "they are the same ones")
		c.End()
		synctest.Wait()
		require.Equal(t, before, runtime.NumGoroutine())
		together(2)
		require.EqualValues(t, 22, ran.Load(), "what comes late is run all the same")
		require.Equal(t, before, runtime.NumGoroutine())
	})
}
