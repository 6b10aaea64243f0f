package nodestatus

import (
	"slices"
	"strings"
	"time"
)

// Note is what a process of a node says of itself: which handlers run longer than their workflow's timeout, or why there is
// nobody to run any, and what waits; an entrypoint says why it refuses requests, and how each workflow keeps up.
type Note struct {
	Workflow string        // mapped name
	Node     string        // as the manifest writes it
	Replica  string        // id, another one at each start of the process
	Requests []SlowRequest // none: it is over
	Down     string        // how the worker ended that is being started again; empty: it runs
	Trouble  string        // what else a person should know, as a sentence

	Load                     // what is counted counts since the process started
	Workflows []WorkflowLoad // of an entrypoint, with mapped names; one that it leaves out has nothing that waits
}

// SlowRequest is a handler that runs longer than its workflow's timeout.
type SlowRequest struct {
	ID      string
	Running time.Duration
}

const (
	// maxNoted bounds what is known of all versions, and maxNotedOf of one, which should not take the place of the others.
	maxNoted   = 10_000
	maxNotedOf = 1_000
	// maxWorkflows is of how many workflows an entrypoint may tell.
	maxWorkflows = 100
	// maxName is how long a name or an id may be, in bytes.
	maxName = 100
	// maxRequests is how many requests of a node are shown.
	maxRequests = 5
	// sweepEach is how often is looked for what need not be known any more, while there is no room.
	sweepEach = time.Second
)

// notes are what the processes of all versions have said of themselves.
type notes struct {
	versions map[string]*said
	size     int       // of all of them
	swept    time.Time // when there was no room last
}

// said is what the processes of a version have said of themselves.
type said struct {
	processes map[processKey]*heard
	tallies   map[place]*tally
}

func (v *said) size() int { return len(v.processes) + len(v.tallies) }

// processKey is a process of a version, as it calls itself.
type processKey struct {
	place
	replica string
}

// place is a node of a version, or what its entrypoint does for a workflow.
type place struct {
	workflow, node string
	part           bool // the latter
}

// heard is what a process said last.
type heard struct {
	at       time.Time
	requests []SlowRequest // those that run longest
	more     int           // others
	down     string
	trouble  string
	load     Load
}

// Note takes notice of what a process of a version says of itself.
func (s *Service) Note(version string, note Note) {
	if max(len(version), len(note.Workflow), len(note.Node), len(note.Replica)) > maxName {
		return
	}
	h := heard{at: s.opts.Now(), down: short(note.Down), trouble: short(note.Trouble), load: note.Load}
	h.requests, h.more = longest(note.Requests, maxRequests)
	process := processKey{place{workflow: note.Workflow, node: note.Node}, note.Replica}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear(version, process, h)
	for _, workflow := range note.Workflows[:min(len(note.Workflows), maxWorkflows)] {
		if len(workflow.Workflow) <= maxName {
			part := processKey{place{workflow: workflow.Workflow, node: note.Node, part: true}, note.Replica}
			s.hear(version, part, heard{at: h.at, load: workflow.Load})
		}
	}
	s.calm(version, process, h.at)
}

// hear keeps what a process says, and counts what has become more since it spoke last.
func (s *Service) hear(version string, key processKey, h heard) {
	v := s.versions[version]
	if v == nil {
		v = &said{processes: make(map[processKey]*heard), tallies: make(map[place]*tally)}
	}
	before := v.processes[key]
	if before == nil && !s.room(v, h.at) {
		return
	}
	slot := s.slot(h.at)
	if before == nil {
		before = new(heard)
		s.versions[version] = v
		s.size++
		if h.at.Sub(s.began) < s.opts.WarnFor {
			slot = longAgo // it may have counted for long before anybody listened
		}
	}
	if h.load = h.load.after(before.load); h.load.Waiting == 0 {
		h.load.Oldest = 0
	}
	v.processes[key] = &h
	if h.load.counts() != before.load.counts() {
		s.count(v, key.place, before.load, &h, slot)
	}
}

// count adds to the tally of a node, if there is one, or room for one.
func (s *Service) count(v *said, at place, before Load, h *heard, slot int64) {
	t := v.tallies[at]
	if t == nil {
		if !s.room(v, h.at) {
			return
		}
		t = new(tally)
		v.tallies[at] = t
		s.size++
	}
	t.add(before, h.load, slot)
}

// calm takes back what a process said to wait in workflows of which it says nothing any more.
func (s *Service) calm(version string, process processKey, now time.Time) {
	v := s.versions[version]
	if v == nil {
		return
	}
	for key, h := range v.processes {
		if key.part && key.node == process.node && key.replica == process.replica && !h.at.Equal(now) {
			h.load = h.load.counts()
		}
	}
}

// room tells whether more may be known of a version. Where there is none, processes that say nothing any more make some; what
// they have counted stays counted.
func (s *Service) room(v *said, now time.Time) bool {
	full := func() bool { return s.size >= maxNoted || v.size() >= maxNotedOf }
	if full() && now.Sub(s.swept) >= sweepEach {
		s.swept = now
		s.sweep(v, now)
	}
	return !full()
}

// sweep forgets the processes of a version that say nothing any more, or of all, if all is full.
func (s *Service) sweep(v *said, now time.Time) {
	all := s.size >= maxNoted
	for version, each := range s.versions {
		if each != v && !all {
			continue
		}
		for key, h := range each.processes {
			if !s.speaks(h, now) {
				delete(each.processes, key)
				s.size--
			}
		}
		if each.size() == 0 {
			delete(s.versions, version)
		}
	}
}

// speaks tells whether what a process said last still holds.
func (s *Service) speaks(h *heard, now time.Time) bool { return now.Sub(h.at) < s.opts.WarnFor }

// slot is that of a time.
func (s *Service) slot(now time.Time) int64 { return int64(now.Sub(s.began) / slotTime) }

// Forget forgets what the processes of a version have said of themselves.
func (s *Service) Forget(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.versions[version]; v != nil {
		s.size -= v.size()
		delete(s.versions, version)
	}
}

// longest are the requests that run longest, at most so many, and how many others there are.
func longest(requests []SlowRequest, most int) (shown []SlowRequest, more int) {
	sorted := slices.Clone(requests)
	slices.SortFunc(sorted, func(a, b SlowRequest) int {
		if a.Running != b.Running {
			return int(b.Running.Milliseconds() - a.Running.Milliseconds())
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, request := range sorted[:min(len(sorted), most)] {
		shown = append(shown, SlowRequest{ID: short(request.ID), Running: request.Running})
	}
	return shown, len(sorted) - len(shown)
}
