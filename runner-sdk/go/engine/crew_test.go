package engine

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// self names the goroutine that calls it.
func self() string {
	text := make([]byte, 64)
	name, _, _ := bytes.Cut(text[:runtime.Stack(text, false)], []byte(" ["))
	return string(name)
}

// The goroutines end with the crew: the test would not come to its end else.
func TestACrewKeepsItsGoroutinesUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		together := func(n int) map[string]bool {
			var mu sync.Mutex
			ran := make(map[string]bool)
			hold := make(chan struct{})
			for range n {
				c.Go(func() {
					<-hold
					mu.Lock()
					defer mu.Unlock()
					ran[self()] = true
				})
			}
			close(hold)
			c.Wait()
			synctest.Wait() // until they are ready for more
			return ran
		}
		first := together(10)
		require.Len(t, first, 10)
		require.Equal(t, first, together(10), "they are the same ones")
		c.End()
		synctest.Wait()
		late := together(2)
		require.Len(t, late, 2, "what comes late is run all the same")
		for name := range late {
			require.NotContains(t, first, name)
		}
	})
}
