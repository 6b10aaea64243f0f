package filelock_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/filelock"
)

func TestLetsOneInAtATime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sub", "lock")
	var inside, most atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			unlock, err := filelock.Lock(t.Context(), name)
			if !assert.NoError(t, err) {
				return
			}
			defer unlock()
			most.Store(max(most.Load(), inside.Add(1)))
			runtime.Gosched()
			inside.Add(-1)
		})
	}
	group.Wait()
	require.EqualValues(t, 1, most.Load())
}

func TestStopsWaitingWhenTheContextEnds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := filelock.Lock(t.Context(), name)
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = filelock.Lock(ctx, name)
	require.ErrorIs(t, err, context.Canceled)
}

func TestLastsAsLongAsAnythingThatInheritedIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	file, err := filelock.Open(t.Context(), name)
	require.NoError(t, err)
	heir := exec.Command("cat")
	stdin, err := heir.StdinPipe()
	require.NoError(t, err)
	heir.ExtraFiles = []*os.File{file}
	require.NoError(t, heir.Start())
	require.NoError(t, file.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = filelock.Lock(ctx, name)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, stdin.Close())
	require.NoError(t, heir.Wait())
	unlock, err := filelock.Lock(t.Context(), name)
	require.NoError(t, err)
	unlock()
}
