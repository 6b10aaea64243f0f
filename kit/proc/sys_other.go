//go:build unix && !linux

package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// detachedAttr is that of a process that outlives us.
func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// awaitZombie cannot be done here without cgo.
func awaitZombie(int) bool { return false }

// killRest kills what is left of the group of a process that has just been reaped. As long as anybody is in it, its
// number is not given to another.
func killRest(group int) {
	_ = unix.Kill(-group, syscall.SIGKILL) // an empty group is what is wanted
}
