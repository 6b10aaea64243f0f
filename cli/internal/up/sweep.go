package up

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
)

// sweepLimit bounds the ending of what k8s-manager has left.
const sweepLimit = 20 * time.Second

// sweep ends the processes of runtimes that still run although k8s-manager has ended: it was killed, or ran out of time.
// Each process that outlives its supervisor has a state file with a lock beside it: see proc.Detached.
func (e *engine) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepLimit)
	defer cancel()
	var errs []error
	walked := filepath.WalkDir(e.data.path(filepath.Join("manager", "runtimes")), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has been removed meanwhile, or never was
		}
		if entry.IsDir() && (entry.Name() == "packages" || entry.Name() == "logs") {
			return filepath.SkipDir // large, and nothing of that kind in them
		}
		if state, ok := strings.CutSuffix(path, ".run"); ok {
			errs = append(errs, proc.EndRecorded(ctx, state, 0))
		}
		return nil
	})
	return explain("end what was left", errors.Join(append(errs, walked)...))
}
