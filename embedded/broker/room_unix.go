//go:build unix

package broker

import "syscall"

// available is how many bytes may be written to the file system of a directory.
func available(dir string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
