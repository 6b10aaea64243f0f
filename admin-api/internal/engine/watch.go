package engine

import (
	"context"
	"reflect"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
)

// WatchRuntime calls send with what changes in a runtime: what is stored of it and its versions, and what is observed of
// them. It begins with a snapshot, or, where after is a revision that can be resumed from, behind it. It ends with the
// error of send, with the end of ctx, or when the runtime is gone.
//
// A watcher is compared with what is, not fed from a queue: one that is slow misses steps in between and never the last.
func (e *Engine) WatchRuntime(ctx context.Context, name string, after int64, send func(Event) error) error {
	woken, stop := e.observed.listen()
	defer stop()
	w := watcher{engine: e, name: name, send: send}
	if err := w.begin(ctx, after); err != nil {
		return err
	}
	poll := time.NewTicker(e.opts.Poll)
	defer poll.Stop()
	for !w.over {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
		case <-poll.C: // another replica may have changed something
		}
		if err := w.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// watcher is one who watches a runtime.
type watcher struct {
	engine *Engine
	name   string
	send   func(Event) error

	runtime  Runtime
	versions map[string]Version
	details  map[Key]Details
	over     bool
}

// begin sends where the watcher begins.
func (w *watcher) begin(ctx context.Context, after int64) error {
	ledger, err := w.engine.ledger(ctx, w.name)
	if err != nil {
		return err
	}
	sight := w.engine.observed.of(w.name)
	w.details = make(map[Key]Details)
	versions, err := w.show(ctx, &ledger, sight)
	if err != nil {
		return err
	}
	runtime := showRuntime(&ledger, sight)
	if after <= 0 || after > ledger.Revision || after < ledger.Forgotten {
		w.keep(runtime, versions)
		return w.send(Event{Revision: ledger.Revision, Snapshot: &Snapshot{Runtime: runtime, Versions: versions}})
	}
	for _, gone := range ledger.Gone {
		if gone.Revision > after {
			if err := w.send(Event{Revision: ledger.Revision, DeletedVersion: gone.Name}); err != nil {
				return err
			}
		}
	}
	if err := w.send(Event{Revision: ledger.Revision, Runtime: &runtime}); err != nil {
		return err
	}
	for i := range versions {
		// What is observed of one that was ever asked to run may have changed meanwhile.
		entry := ledger.Entry(versions[i].Name)
		if entry.Revision > after || entry.WishRevision != 0 {
			if err := w.send(Event{Revision: ledger.Revision, Version: &versions[i]}); err != nil {
				return err
			}
		}
	}
	w.keep(runtime, versions)
	return nil
}

// keep remembers what the watcher knows.
func (w *watcher) keep(runtime Runtime, versions []Version) {
	w.runtime, w.versions = runtime, make(map[string]Version, len(versions))
	for _, version := range versions {
		w.versions[version.Name] = version
	}
}

// look sends what has changed since the last time.
func (w *watcher) look(ctx context.Context) error {
	ledger, err := w.engine.ledger(ctx, w.name)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		w.over = true
		return w.send(Event{Revision: w.runtime.Revision, Deleted: true})
	}
	if err != nil {
		if fault.KindOf(err) == fault.Unavailable && ctx.Err() == nil {
			return nil // looked at again in a moment
		}
		return err
	}
	sight := w.engine.observed.of(w.name)
	versions, err := w.show(ctx, &ledger, sight)
	if err != nil {
		return err
	}
	known := w.versions
	runtime, before := showRuntime(&ledger, sight), w.runtime
	w.keep(runtime, versions)
	for name := range known {
		if _, there := w.versions[name]; !there {
			if err := w.send(Event{Revision: ledger.Revision, DeletedVersion: name}); err != nil {
				return err
			}
		}
	}
	if before.ObserveTime, before.Revision = runtime.ObserveTime, runtime.Revision; before != runtime {
		if err := w.send(Event{Revision: ledger.Revision, Runtime: &runtime}); err != nil {
			return err
		}
	}
	for i := range versions {
		old, there := known[versions[i].Name]
		old.ObserveTime = versions[i].ObserveTime
		if !there || !reflect.DeepEqual(old, versions[i]) {
			if err := w.send(Event{Revision: ledger.Revision, Version: &versions[i]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// show is the versions as they are shown, the newest first. Details never change, so they are read once.
func (w *watcher) show(ctx context.Context, ledger *Ledger, sight sight) ([]Version, error) {
	var entries []*Entry
	var unread []Key
	for i := range ledger.Entries {
		entry := &ledger.Entries[i]
		entries = append(entries, entry)
		if _, read := w.details[entry.Key()]; !read && !entry.Creating() {
			unread = append(unread, entry.Key())
		}
	}
	if len(unread) > 0 {
		found, err := w.engine.Store.Details(ctx, ledger.Name, unread)
		if err != nil {
			return nil, storeError(err)
		}
		for _, one := range found {
			w.details[one.Key] = one
		}
	}
	newestFirst(entries)
	versions := make([]Version, 0, len(entries))
	for _, entry := range entries {
		versions = append(versions, showVersion(ledger, entry, w.details[entry.Key()], sight))
	}
	return versions, nil
}
