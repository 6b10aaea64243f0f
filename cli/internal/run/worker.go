package run

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/kit/proc"
)

// What the runner puts behind the ready file's name for two files: one that says which replacement is asked for, and one that
// tells what came of it.
const (
	replaceSuffix  = ".replace"
	replacedSuffix = ".replaced"
)

// errNoWorker says that a runner has no worker that could be replaced now.
var errNoWorker = errors.New("there is no worker to replace")

// replaceWorkers has each runner of the part start its worker anew and turn to that when it is ready. Where one does not
// become ready, what ran before goes on.
func (p *part) replaceWorkers(ctx context.Context) error {
	var group errgroup.Group
	for i, process := range p.processes {
		group.Go(func() error { return replaceWorker(ctx, process, p.specs[i]) })
	}
	return group.Wait()
}

func replaceWorker(ctx context.Context, process *proc.Process, spec proc.Spec) error {
	// One that was asked for before may still be under way.
	this := rand.Text()
	if err := os.WriteFile(spec.ReadyFile+replaceSuffix, []byte(this), 0o600); err != nil {
		return err
	}
	pid := process.PID()
	if _, err := os.Stat(spec.ReadyFile); err != nil || pid == 0 || syscall.Kill(pid, syscall.SIGHUP) != nil {
		return errNoWorker
	}
	timeout := time.After(spec.StartTimeout)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			content, _ := os.ReadFile(spec.ReadyFile + replacedSuffix) // not there yet
			which, outcome, _ := strings.Cut(string(content), "\n")
			switch {
			case which == this && outcome == "ok":
				return nil
			case which == this:
				return errors.New(outcome)
			case process.PID() != pid:
				return errNoWorker // the runner has ended meanwhile
			}
		case <-timeout:
			return errNoWorker // another runner will say what is the matter
		case <-process.Done():
			return errNoWorker
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
