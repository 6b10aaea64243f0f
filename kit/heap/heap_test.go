package heap_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/heap"
)

func TestTheCollectorWaitsForTheFloor(t *testing.T) {
	const floor = 64 << 20
	release := heap.Floor(floor)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	require.GreaterOrEqual(t, stats.NextGC, uint64(2*floor))

	release()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	require.Less(t, stats.NextGC, uint64(floor))
}
