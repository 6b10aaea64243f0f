package ports

import (
	"os"
	"sync"
	"syscall"
)

// withoutForks calls f while no process is being started by this one: until it runs its own program, such a process has all
// that is open here, sockets that listen among them.
func withoutForks(f func()) {
	tried()
	syscall.ForkLock.RLock() // package net does not take it on this system
	defer syscall.ForkLock.RUnlock()
	f()
}

// tried has package os try what the kernel can do: it does so once, by a process that it starts without the lock.
var tried = sync.OnceFunc(func() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release() // it holds nothing else
	}
})
