package run

import (
	"os"
	"path/filepath"
	"slices"
	"time"
)

// outputs tells which data files of a project are written by what runs, not by its author: a node that appends to a
// file of its own would otherwise be restarted for ever.
type outputs struct {
	own    []os.FileInfo // our standard output and error
	times  map[string][]time.Time
	ignore map[string]bool
}

// busyChanges in busyWithin are more than an author makes.
const (
	busyChanges = 6
	busyWithin  = 10 * time.Second
)

func newOutputs() *outputs {
	o := &outputs{times: make(map[string][]time.Time), ignore: make(map[string]bool)}
	for _, file := range []*os.File{os.Stdout, os.Stderr} {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			o.own = append(o.own, info)
		}
	}
	return o
}

// holds tells whether file, below root, is one that we write to ourselves.
func (o *outputs) holds(root, file string) bool {
	if len(o.own) == 0 {
		return false
	}
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return false
	}
	for _, own := range o.own {
		if os.SameFile(own, info) {
			return true
		}
	}
	return false
}

// busy notes that data files have changed and answers those that have done so once too often.
func (o *outputs) busy(files []string, now time.Time) []string {
	var busy []string
	for _, file := range files {
		if o.ignore[file] {
			continue
		}
		times := slices.Concat(o.times[file], []time.Time{now})
		for len(times) > 0 && now.Sub(times[0]) > busyWithin {
			times = times[1:]
		}
		o.times[file] = times
		if len(times) >= busyChanges {
			o.ignore[file] = true
			busy = append(busy, file)
		}
	}
	return busy
}

// unwatched tells whether a file was busy once.
func (o *outputs) unwatched(file string) bool { return o.ignore[file] }
