package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// runDir is a folder of this run alone, removed at its end. Its lock tells other runs that it is in use.
type runDir struct {
	path string
	lock *os.File
}

const lockFile = "lock"

// cacheDir is where kre keeps what it can make again.
func cacheDir() string {
	if dir := os.Getenv("KRE_CACHE"); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "kre")
	}
	return filepath.Join(os.TempDir(), "kre-"+strconv.Itoa(os.Getuid()))
}

// newRunDir makes the folder, and removes those that killed runs left.
func newRunDir(cache string) (*runDir, error) {
	parent := filepath.Join(cache, "runs")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	sweep(parent)
	path, err := os.MkdirTemp(parent, "run-*")
	if err != nil {
		return nil, err
	}
	// Under its name the file is seen by other runs, which take a lock that is free for that of a run that has ended.
	begun := filepath.Join(path, lockFile+".new")
	lock, err := lockOn(begun)
	if err == nil {
		err = os.Rename(begun, filepath.Join(path, lockFile))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &runDir{path: path, lock: lock}, nil
}

// lockIn takes the lock of a folder; the error is EWOULDBLOCK while another has it.
func lockIn(dir string) (*os.File, error) { return lockOn(filepath.Join(dir, lockFile)) }

func lockOn(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// sweep removes the folders whose runs have ended. What cannot be removed now will be by a later run.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(parent, entry.Name())
		// A run that is just beginning has no lock file yet.
		if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
			continue
		}
		lock, err := lockIn(dir)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

func (d *runDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}
