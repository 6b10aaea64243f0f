// Package filelock lets one process at a time do something, across the processes of one machine.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// patience between two tries for a lock that somebody else has. It is only ever waited for while another process works.
const patience = 20 * time.Millisecond

// Lock waits until no other process or goroutine holds the lock on the file, which is made if needed and stays. The lock
// ends with the process that holds it, however that ends.
func Lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}

// Open is Lock for who starts a program that must not be left alone with its work: the lock is held until the file is
// closed here and in every process that has inherited it.
func Open(ctx context.Context, name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, ctx.Err())
		case <-time.After(patience):
		}
	}
}
