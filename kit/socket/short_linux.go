package socket

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// longest is how long the path of a socket may be for the system, less its end.
const longest = 107

// Short is another path of the same file, short enough for a socket, until it is released: systems know paths of about a hundred
// bytes at most.
func Short(path string) (short string, release func(), err error) {
	if len(path) <= longest {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("look for the folder of a socket: %w", err)
	}
	short = "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path)
	return short, func() { _ = dir.Close() }, nil
}
