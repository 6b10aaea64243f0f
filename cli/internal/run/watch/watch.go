// Package watch tells which files of a project were saved: all folders below its root, several changes at a time as one.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A save is often several events (written beside, renamed, permissions set), and a checkout many: changes are told when
// nothing has happened for quiet, and after atMost in any case.
const (
	quiet  = 40 * time.Millisecond
	atMost = 400 * time.Millisecond
)

// Options of a Watcher.
type Options struct {
	Root string
	// Ignore leaves files and whole folders out; path is slash-separated below Root. nil: none.
	Ignore func(path string, dir bool) bool
	// Also are files elsewhere, as absolute paths.
	Also []string
}

// Watcher tells changes until it is closed.
type Watcher struct {
	options Options
	events  *fsnotify.Watcher
	changes chan []string
	stop    chan struct{}
	done    chan struct{}
	pending map[string]struct{}
}

// New begins to watch.
func New(o Options) (*Watcher, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", o.Root, err)
	}
	o.Root = root
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, explain(root, err)
	}
	w := &Watcher{
		options: o, events: events, changes: make(chan []string), stop: make(chan struct{}), done: make(chan struct{}),
		pending: make(map[string]struct{}),
	}
	err = w.addTree(root, false)
	for _, file := range o.Also {
		if err == nil {
			err = events.Add(filepath.Dir(file))
		}
	}
	if err != nil {
		return nil, errors.Join(explain(root, err), events.Close())
	}
	go w.run()
	return w, nil
}

// Changes are the paths that were written, made or removed since the last time, sorted: slash-separated below the root,
// absolute for files elsewhere. Only files are told. As long as nobody receives, changes gather.
func (w *Watcher) Changes() <-chan []string { return w.changes }

// Close ends the watching and waits for it.
func (w *Watcher) Close() error {
	close(w.stop)
	<-w.done
	return w.events.Close()
}

func explain(root string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("watch %s: the system allows no more watched folders (raise fs.inotify.max_user_watches and "+
			"max_user_instances, or use --no-watch): %w", root, err)
	}
	return fmt.Errorf("watch %s: %w", root, err)
}

// addTree watches dir and the folders below it. What is in a folder that is new counts as changed: it may have been
// written before we looked.
func (w *Watcher) addTree(dir string, isNew bool) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != w.options.Root {
			return nil // gone already
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if isNew {
				w.note(path)
			}
			return nil
		}
		if path != w.options.Root && w.ignored(path, true) {
			return fs.SkipDir
		}
		if err := w.events.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (w *Watcher) below(path string) (string, bool) {
	rel, err := filepath.Rel(w.options.Root, path)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// ignored tells whether nothing of path is told, because it or a folder above it is left out.
func (w *Watcher) ignored(path string, dir bool) bool {
	rel, ok := w.below(path)
	return !ok || w.options.Ignore != nil && w.options.Ignore(rel, dir)
}

// note remembers a changed file.
func (w *Watcher) note(path string) {
	if slices.Contains(w.options.Also, path) {
		if rel, ok := w.below(path); ok {
			path = rel
		}
		w.pending[path] = struct{}{}
		return
	}
	if rel, ok := w.below(path); ok && !w.ignored(path, false) {
		w.pending[rel] = struct{}{}
	}
}

func (w *Watcher) run() {
	defer close(w.done)
	var settled, latest <-chan time.Time
	due := false
	for {
		var out chan<- []string
		var batch []string
		if due && len(w.pending) > 0 {
			out = w.changes
			for path := range w.pending {
				batch = append(batch, path)
			}
			slices.Sort(batch)
		}
		select {
		case <-w.stop:
			return
		case event, ok := <-w.events.Events:
			if !ok {
				return
			}
			w.handle(event)
			if len(w.pending) == 0 || due {
				continue
			}
			settled = time.After(quiet)
			if latest == nil {
				latest = time.After(atMost)
			}
		case err, ok := <-w.events.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				// What was lost is not known: look at everything.
				if w.addTree(w.options.Root, true) == nil {
					due = true
				}
			}
		case <-settled:
			due = true
		case <-latest:
			due = true
		case out <- batch:
			clear(w.pending)
			due, settled, latest = false, nil, nil
		}
	}
}

func (w *Watcher) handle(event fsnotify.Event) {
	if !event.Has(fsnotify.Create | fsnotify.Write | fsnotify.Remove | fsnotify.Rename) {
		return // permissions and times
	}
	info, err := os.Lstat(event.Name)
	if err == nil && info.IsDir() {
		if _, ok := w.below(event.Name); ok && event.Has(fsnotify.Create) && !w.ignored(event.Name, true) {
			_ = w.addTree(event.Name, true) // a folder that cannot be watched is one whose changes nobody is told
		}
		return
	}
	w.note(event.Name)
}
