package packages_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALargePackageIsNeverHeldInMemory(t *testing.T) {
	const size, limit = 160 << 20, 80 << 20
	s := open(t)
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeLarge(writer, size)) }()

	peak := watchHeap(t)
	stored, err := s.Upload(t.Context(), reader, nothing)
	require.NoError(t, err)
	require.Greater(t, stored.Size, int64(size))
	require.Less(t, peak(), uint64(limit))
}

// writeLarge writes a package with a file of a size, which cannot be made smaller.
func writeLarge(to io.Writer, size int64) error {
	zipped, err := gzip.NewWriterLevel(to, gzip.NoCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(zipped)
	for _, e := range prices("prices-v1") {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.body))}))
		_, wrote := io.WriteString(w, e.body)
		err = errors.Join(err, wrote)
	}
	err = errors.Join(err, w.WriteHeader(&tar.Header{Name: "model.bin", Mode: 0o644, Size: size}))
	_, wrote := io.CopyN(w, rand.NewChaCha8([32]byte{1}), size)
	return errors.Join(err, wrote, w.Close(), zipped.Close())
}

// watchHeap returns what tells the most that the heap has been since.
func watchHeap(t *testing.T) (peak func() uint64) {
	t.Helper()
	debug.FreeOSMemory() // what other tests have left
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	var most atomic.Uint64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most.Store(max(most.Load(), sample[0].Value.Uint64()+sample[1].Value.Uint64()))
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
		t.Logf("at most %d MiB", most.Load()>>20)
		return most.Load()
	}
}
