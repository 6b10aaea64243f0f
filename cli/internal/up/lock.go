package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/konstellation-io/kre/host/filelock"
)

// How long one waits for a folder that another kre up has.
const (
	whileItRuns  = time.Second      // it may just be ending
	whileItsGone = 30 * time.Second // it was killed, and its guard still ends its services
)

// lockData makes the folder and lets one kre up at a time have it: until the file is closed here and in the guard, which
// inherits it.
func lockData(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder for data: %w", err)
	}
	name := filepath.Join(dir, "up.lock")
	began := time.Now()
	for {
		file, err := tryLock(ctx, name)
		if err == nil {
			return file, errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid())+"\n"))
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("cannot use the folder for data: %w", err)
		}
		holder := holderOf(name)
		switch waited := time.Since(began); {
		case holder != 0 && waited > whileItRuns:
			return nil, fmt.Errorf("%s is in use by another kre up (process %d); --data names another folder", dir, holder)
		case waited > whileItsGone:
			return nil, fmt.Errorf("%s is in use by what another kre up has left; --data names another folder", dir)
		}
	}
}

func tryLock(ctx context.Context, name string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	return filelock.Open(ctx, name)
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// holderOf is the process that has the lock; 0: it has ended, or has not said so yet.
func holderOf(name string) int {
	content, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0
	}
	return pid
}
