package logbook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"
)

const (
	defaultPage = 100
	// MaxPage is how many entries a page has at most.
	MaxPage = 1_000
	// maxPageBytes bounds the weight of a page, so that it fits into an answer.
	maxPageBytes = 2 << 20
	// maxScan is how many lines are looked at for a page.
	maxScan = 50_000
	// firstWindow and growth say how far the newest are looked for backwards at a time, in sequences.
	firstWindow, growth = 512, 4
)

// Query is a search.
type Query struct {
	Filter
	Size        int    // of the page; 0: 100; above 1,000: 1,000
	Token       string // Page.NextToken of the page before; empty: the first page
	OldestFirst bool   // in place of the newest
}

// Page is what a search answers at a time. It may have fewer entries than asked for, even none, although others follow:
// what is looked through for a page is bounded.
type Page struct {
	Entries   []Entry // in the order asked for
	NextToken string  // empty: there are no more
}

// Search answers with a page of lines. Lines that are stored later do not move a page.
//
// Kinds of error: fault.Invalid for a version that is none, and a token that is not one of this search; those of the store.
func (s *Service) Search(ctx context.Context, query Query) (Page, error) {
	if err := checkVersion(query.Version); err != nil {
		return Page{}, err
	}
	if query.Size < 0 {
		return Page{}, invalid("page_size", "want a number that is not negative")
	}
	at, err := query.position()
	if err != nil {
		return Page{}, err
	}
	first, next, err := s.store.Span(ctx, query.Version, query.Start, query.End)
	if err != nil {
		return Page{}, err
	}
	size := query.Size
	if size == 0 {
		size = defaultPage
	}
	search := search{store: s.store, matcher: newMatcher(query.Filter), found: found{limit: min(size, MaxPage)}, budget: maxScan}
	if query.OldestFirst {
		at, err = search.forwards(ctx, max(at, first), next)
	} else {
		if at != 0 {
			next = min(next, at)
		}
		at, err = search.backwards(ctx, first, next)
	}
	if err != nil {
		return Page{}, err
	}
	page := Page{Entries: search.found.entries}
	if at != 0 {
		page.NextToken = query.token(at)
	}
	return page, nil
}

// Tail calls each with the last lines of those that the filter is for, oldest first, and then with those that are stored,
// until ctx ends or each fails. The filter's times are not looked at.
func (s *Service) Tail(ctx context.Context, filter Filter, last int, each func(Entry) error) error {
	if err := checkVersion(filter.Version); err != nil {
		return err
	}
	if last < 0 {
		return invalid("last", "want a number that is not negative")
	}
	filter.Start, filter.End = time.Time{}, time.Time{}
	first, next, err := s.store.Span(ctx, filter.Version, filter.Start, filter.End)
	if err != nil {
		return err
	}
	search := search{store: s.store, matcher: newMatcher(filter), found: found{limit: min(last, MaxPage)}, budget: maxScan}
	if last > 0 {
		if _, err := search.backwards(ctx, first, next); err != nil {
			return err
		}
	}
	for _, entry := range slices.Backward(search.found.entries) {
		if err := each(entry); err != nil {
			return err
		}
	}
	return s.store.Follow(ctx, filter.Version, next, func(line Line) error {
		if entry, ok := search.match(line); ok {
			return each(entry)
		}
		return nil
	})
}

// search is the looking for one page.
type search struct {
	matcher
	store  Store
	found  found
	budget int // lines that may still be looked at
}

// forwards looks from one sequence on and before another. It returns where to go on; 0: there is no more.
func (s *search) forwards(ctx context.Context, from, before uint64) (uint64, error) {
	at := from
	err := s.store.Read(ctx, s.Version, from, before, func(line Line) bool {
		at = line.Sequence + 1
		s.budget--
		if entry, ok := s.match(line); ok {
			s.found.add(entry, entry.weight())
		}
		return !s.found.full() && s.budget > 0
	})
	if err != nil || at >= before || !s.found.full() && s.budget > 0 {
		return 0, err
	}
	return at, nil
}

// backwards looks before one sequence and down to another. It returns what to go on before; 0: there is no more.
func (s *search) backwards(ctx context.Context, first, before uint64) (uint64, error) {
	for window := uint64(firstWindow); before > first; window *= growth {
		window = min(window, uint64(s.budget))
		from := first
		if before-first > window {
			from = before - window
		}
		latest := latest{entries: s.found.limit - len(s.found.entries), bytes: maxPageBytes - s.found.bytes}
		err := s.store.Read(ctx, s.Version, from, before, func(line Line) bool {
			s.budget--
			if entry, ok := s.match(line); ok {
				latest.add(hit{entry: entry, sequence: line.Sequence, bytes: entry.weight()})
			}
			return true
		})
		if err != nil {
			return 0, err
		}
		before = from
		for _, hit := range slices.Backward(latest.hits) {
			s.found.add(hit.entry, hit.bytes)
			if s.found.full() || latest.dropped {
				before = hit.sequence
			}
		}
		if s.found.full() || latest.dropped || s.budget <= 0 {
			break
		}
	}
	if before <= first {
		return 0, nil
	}
	return before, nil
}

// found is a page that fills up.
type found struct {
	limit   int
	entries []Entry
	bytes   int
}

func (f *found) add(entry Entry, bytes int) {
	f.entries = append(f.entries, entry)
	f.bytes += bytes
}

func (f *found) full() bool { return len(f.entries) >= f.limit || f.bytes >= maxPageBytes }

type hit struct {
	entry    Entry
	sequence uint64
	bytes    int
}

// latest keeps the last of what it is given, as far as there is room, but at least one.
type latest struct {
	entries, bytes int // room
	hits           []hit
	dropped        bool
}

func (l *latest) add(h hit) {
	l.hits = append(l.hits, h)
	l.bytes -= h.bytes
	for len(l.hits) > 1 && (len(l.hits) > l.entries || l.bytes < 0) {
		l.bytes += l.hits[0].bytes
		l.hits[0] = hit{}
		l.hits = l.hits[1:]
		l.dropped = true
	}
}

// token is what a page token holds.
type token struct {
	At     uint64 `json:"at"`
	Search []byte `json:"search"`
}

func (q Query) token(at uint64) string {
	content, err := json.Marshal(token{At: at, Search: q.sum()})
	if err != nil {
		panic("a number and bytes cannot be written: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(content)
}

// position is the sequence in the query's token; 0: it has none.
func (q Query) position() (uint64, error) {
	if q.Token == "" {
		return 0, nil
	}
	var t token
	content, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err == nil {
		err = json.Unmarshal(content, &t)
	}
	if err != nil || t.At == 0 || !slices.Equal(t.Search, q.sum()) {
		return 0, invalid("page_token", "this is not the token of a page of this search; begin without one")
	}
	return t.At, nil
}

// sum tells searches apart. The size of a page may change from one to the next.
func (q Query) sum() []byte {
	content, err := json.Marshal(struct {
		Filter      Filter
		OldestFirst bool
	}{q.Filter, q.OldestFirst})
	if err != nil {
		// A time beyond the year 9999 cannot be written; such searches are not told apart by it.
		content = []byte(q.Version)
	}
	sum := sha256.Sum256(content)
	return sum[:12]
}
