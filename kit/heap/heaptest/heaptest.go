// Package heaptest measures what something costs in memory at its worst.
package heaptest

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const pause = 2 * time.Millisecond

// Peak is how many bytes more the process had from the system while do ran than before, at most.
func Peak(do func()) int64 {
	debug.FreeOSMemory()
	rest := held()
	over, ended := make(chan struct{}), make(chan int64)
	go func() {
		most := rest
		for {
			most = max(most, held())
			select {
			case <-over:
				ended <- most
				return
			case <-time.After(pause):
			}
		}
	}()
	do()
	close(over)
	return <-ended - rest
}

func held() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64()) - int64(samples[1].Value.Uint64())
}
