package up

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
)

// endLeft ends the processes of runtimes that k8s-manager left behind because it was killed: every state file of kit/proc
// has a lock of the process beside it. It is called when nobody looks after them any more.
func endLeft(ctx context.Context, dir string, grace time.Duration) error {
	var ending sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if entry.IsDir() && (entry.Name() == "packages" || entry.Name() == "logs") {
			return fs.SkipDir // large, and nothing of that kind in them
		}
		state, found := strings.CutSuffix(name, ".run")
		if entry.IsDir() || !found {
			return nil
		}
		// One that was started in the very moment of a kill is not recorded, but has the lock.
		ending.Go(func() {
			if err := proc.EndRecorded(ctx, state, grace); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
		return nil
	})
	ending.Wait()
	return errors.Join(append(errs, err)...)
}
