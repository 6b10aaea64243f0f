// Package heaptest measures what something costs in memory at its worst.
package heaptest

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

// Watch returns what tells the most that the heap has grown since, in bytes.
func Watch(t *testing.T) (peak func() uint64) {
	t.Helper()
	debug.FreeOSMemory() // what other tests have left
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64() + sample[1].Value.Uint64()
	var highest atomic.Uint64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			highest.Store(max(highest.Load(), sample[0].Value.Uint64()+sample[1].Value.Uint64()))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-ended
		grown := max(highest.Load(), before) - before
		t.Logf("at most %d MiB", grown>>20)
		return grown
	}
}
