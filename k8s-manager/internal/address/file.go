package address

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Target is where an address leads, in the file that is followed and in the one that acknowledges it. An empty part
// leads nowhere, and a missing file is one whose parts are empty.
type Target struct {
	GRPC string `json:"grpc"` // host:port
	HTTP string `json:"http"` // host:port
}

// lookEach is how often the file is looked at, which costs a microsecond.
const lookEach = 20 * time.Millisecond

// file is the file that is followed. It is written whole and put in its place, so that another one means a change.
type file struct {
	path   string
	looked bool        // at least once
	seen   fs.FileInfo // at the last look; nil: it was not there
}

// read returns what the file says when that may have changed since it was read last. What cannot be read is told once.
func (f *file) read() (target Target, changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return target, false, fmt.Errorf("looking at %s: %w", f.path, err)
	}
	if err != nil {
		info = nil
	}
	if f.looked && same(f.seen, info) {
		return target, false, nil
	}
	f.seen, f.looked = info, true
	if info == nil {
		return target, true, nil
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) { // it went in this very moment, which the next look sees
		return target, true, nil
	}
	if err != nil {
		return target, false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if len(data) == 0 {
		return target, true, nil
	}
	if err := json.Unmarshal(data, &target); err != nil {
		return target, false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	return target, true, nil
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// write puts a file in its place whole.
func write(path string, target Target) error {
	data, err := json.Marshal(target)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	beside := path + ".new"
	if err := os.WriteFile(beside, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(beside, path); err != nil {
		return fmt.Errorf("putting %s in its place: %w", path, err)
	}
	return nil
}
