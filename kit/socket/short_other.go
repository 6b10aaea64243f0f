//go:build !linux

package socket

import "fmt"

// longest is how long the path of a socket may be for the system, less its end.
const longest = 103

// Short is another path of the same file, short enough for a socket, until it is released: systems know paths of about a hundred
// bytes at most.
func Short(path string) (short string, release func(), err error) {
	if len(path) > longest {
		return "", nil, fmt.Errorf("%s is too long a path for a socket (%d bytes, at most %d): choose a shorter folder", path, len(path), longest)
	}
	return path, func() {}, nil
}
