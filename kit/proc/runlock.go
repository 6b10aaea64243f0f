package proc

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor holds the lock of the file .lock as long as it looks after a state file. A process holds the lock of the
// file .run, by a descriptor that it inherits, as long as it or anything it started runs: even if its supervisor is
// killed before it could write down which process it is.

// errGaveUp says that somebody stopped waiting for a lock.
var errGaveUp = errors.New("given up")

const (
	pollLock = 10 * time.Millisecond
	// dying is with which try of a lock those that have it are looked for: mostly they have just been killed.
	dying = 5
	// strayLimit is how long what an earlier start left behind may take to die once it is killed.
	strayLimit = 10 * time.Second
)

// lockFile waits until nobody else has the lock of a file, which is made if need be, or until giveUp is closed. Closing
// the file unlocks.
func lockFile(giveUp <-chan struct{}, name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		free, err := tryLock(file)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if free {
			return file, nil
		}
		select {
		case <-giveUp:
			closeAll(file)
			return nil, errGaveUp
		case <-time.After(pollLock):
		}
	}
}

func tryLock(file *os.File) (bool, error) {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
	}
}

// vacate is the lock of a process, once nothing has it any more: what does is killed. The caller has the supervisor's.
func vacate(giveUp <-chan struct{}, name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	patience := time.After(strayLimit)
	var strays []int
	for try := 1; ; try++ {
		free, err := tryLock(file)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if free {
			return file, nil
		}
		if try >= dying {
			if strays, err = holders(file); err != nil {
				return nil, errors.Join(err, file.Close())
			}
		}
		for _, pid := range strays {
			_ = unix.Kill(pid, unix.SIGKILL) // one that has just ended is what is wanted
		}
		select {
		case <-giveUp:
			closeAll(file)
			return nil, errGaveUp
		case <-patience:
			closeAll(file)
			return nil, fmt.Errorf("what an earlier start left behind does not end: processes %v hold %s", strays, name)
		case <-time.After(pollLock):
		}
	}
}
