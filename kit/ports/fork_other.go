//go:build !linux

package ports

// withoutForks calls f.
func withoutForks(f func()) { f() }
