package manifest_test

import (
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
)

func TestNoManifestCostsMoreThanItsBounds(t *testing.T) {
	const dear = 128 << 20
	fill := func(text string) string { return strings.Repeat(text, (manifest.MaxBytes-100)/len(text)) }
	for name, text := range map[string]string{
		"lists within a list":   "a: [" + fill("[],") + "]",
		"mappings":              "a: [" + fill("{},") + "]",
		"one key over and over": fill("a:\n"),
		"comments":              fill("- #\n"),
		"anchors":               fill("- &a\n"),
		"a mistake at its end":  fill("- 1\n") + "\t:",
		"one within a list":     "a: [" + fill("1,") + "\n:::\n",
		"deep lists":            "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"merges":                "a: &a {b: 1}\nversion: x\nworkflows:\n- <<: [" + fill("*a,")[:manifest.MaxBytes-200] + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			peak := watchHeap(t)
			_, problems := manifest.Parse("krt.yml", []byte(text))
			require.Less(t, peak(), uint64(dear))
			require.Error(t, problems.Err())
			require.LessOrEqual(t, len(problems), 101)
		})
	}
}

// watchHeap returns what tells the most that the heap has grown since, in bytes.
func watchHeap(t *testing.T) (peak func() uint64) {
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
