// Package heap lets a process with a small live heap collect its garbage less often. It sets no limit and changes no
// setting of the collector.
package heap

import "runtime"

// Floor makes the collector wait until as many bytes have been allocated, and lasts until its release is called. A heap
// of a few MiB is otherwise collected many times a second under load. The bytes themselves are never touched, so that
// they cost address space; what they let lie about costs memory, up to about their number.
func Floor(bytes int) (release func()) {
	ballast := make([]byte, bytes)
	return func() { runtime.KeepAlive(ballast) }
}
