package engine

import (
	"slices"
	"strings"
	"time"
)

// Ledger is what is stored of a runtime and has to change together: one document, replaced as a whole.
type Ledger struct {
	Name        string
	Description string
	CreateTime  time.Time
	Revision    int64 // raised by every change, from 1; guards the document

	ChangeRevision  int64  // at which what is shown of the runtime itself changed last
	PublishRevision int64  // at which Published changed last: the revision that the manager is told
	Published       string // name of the published version, or empty
	Deleting        bool   // it is being removed with everything in it

	Entries   []Entry    // its versions, by name
	Gone      []Gone     // the versions that went last, the oldest first; at most maxGone
	Forgotten int64      // revision of the last one that Gone has dropped: who has seen less must begin anew
	Outbox    []Activity // what is not among the activities yet
}

// Entry is what is stored of a version and changes: about 300 bytes.
type Entry struct {
	Name           string // mapped
	Upload         string // id of the upload that brought it: its records bear it, so that a name can be used again
	CreateTime     time.Time
	CreateRevision int64 // the runtime's revision when it was reserved: the order of versions
	Creator        string
	Revision       int64 // the runtime's revision when what is shown of it changed last

	Lease    time.Time // while it is being uploaded: until when the uploader has to be heard of again; else zero
	Digest   string    // identity of its package; empty while it is being uploaded
	Size     int64     // bytes of all files of its package
	Deleting bool      // it is being removed

	WishRevision int64    // at which what is asked of it changed last: the revision that the manager is told; 0: never asked to run
	Running      bool     // it is asked to run
	Discard      bool     // once it has stopped: drop the messages that are still stored
	Config       string   // id of its Config; empty: none of its keys has a value
	Missing      []string // keys that it declares and that have no value
}

// Gone is a version that is there no more.
type Gone struct {
	Name     string
	Revision int64 // the runtime's revision when it went
}

// maxGone is how many deleted versions a ledger remembers for watchers that come back.
const maxGone = 100

// Key names the records of a version.
type Key struct {
	Version string
	Upload  string
}

// Key names the records of the version.
func (e *Entry) Key() Key { return Key{Version: e.Name, Upload: e.Upload} }

// Creating tells whether the version is still being uploaded.
func (e *Entry) Creating() bool { return !e.Lease.IsZero() }

// Entry returns the version of that name, or nil. It points into the ledger.
func (l *Ledger) Entry(name string) *Entry {
	i, found := l.find(name)
	if !found {
		return nil
	}
	return &l.Entries[i]
}

func (l *Ledger) find(name string) (int, bool) {
	return slices.BinarySearchFunc(l.Entries, name, func(e Entry, name string) int { return strings.Compare(e.Name, name) })
}

// Clone returns a copy that shares nothing with l.
func (l *Ledger) Clone() Ledger {
	c := *l
	c.Entries = slices.Clone(l.Entries)
	for i := range c.Entries {
		c.Entries[i].Missing = slices.Clone(c.Entries[i].Missing)
	}
	c.Gone = slices.Clone(l.Gone)
	c.Outbox = slices.Clone(l.Outbox)
	for i := range c.Outbox {
		c.Outbox[i] = c.Outbox[i].clone()
	}
	return c
}

// insert adds a version; one of its name is not there.
func (l *Ledger) insert(entry Entry) {
	i, _ := l.find(entry.Name)
	l.Entries = slices.Insert(l.Entries, i, entry)
}

// remove takes a version out and remembers that it went.
func (l *Ledger) remove(name string) {
	i, found := l.find(name)
	if !found {
		return
	}
	l.Entries = slices.Delete(l.Entries, i, i+1)
	l.Gone = append(l.Gone, Gone{Name: name, Revision: l.Revision})
	if drop := len(l.Gone) - maxGone; drop > 0 {
		l.Forgotten = l.Gone[drop-1].Revision
		l.Gone = slices.Delete(l.Gone, 0, drop)
	}
}

// wish marks that what is asked of a version has changed.
func (l *Ledger) wish(entry *Entry) { entry.Revision, entry.WishRevision = l.Revision, l.Revision }
