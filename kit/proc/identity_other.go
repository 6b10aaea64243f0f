//go:build unix && !linux

package proc

import (
	"errors"
	"os"
)

// Nothing here names a process for good, so that none is ever detached or adopted.
const canDetach = false

var errGone = errors.New("it has ended")

var errNoDetached = errors.New("processes that outlive their supervisor need Linux")

func bootID() string { return "" }

func startOf(int) (uint64, bool, error) { return 0, false, errNoDetached }

func isAlive(int, uint64) bool { return false }

func adopt(int, uint64) (*child, error) { return nil, errNoDetached }

func (c *child) terminateAdopted() {}

func holders(*os.File) ([]int, error) { return nil, errNoDetached }
