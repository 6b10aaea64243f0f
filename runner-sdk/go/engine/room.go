package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	roomFor  = time.Second            // that what was seen of the stream counts
	roomLook = 100 * time.Millisecond // between two looks at a stream that has no room
	roomSay  = 10 * time.Second       // between two words about it
	// Nothing is unpacked onto a subject that has more than 9 of 10 of what it may have. It is looked again when a twentieth
	// of that has been added.
	fullOf, fullIf, lookIf = 10, 9, 20
)

// room knows how full the subjects of a stream are, about. A parcel whose outputs do not all fit is not begun: half of them
// would be stored, and a second time if that took longer than ids are known.
type room struct {
	store  *store.Store
	log    *logline.Log
	stream string

	mu     sync.Mutex
	seen   store.Contents
	looked time.Time
	added  map[string]int64 // to each subject since then, by this process
	total  int64
	said   time.Time
}

func newRoom(s *store.Store, log *logline.Log, stream string) *room {
	return &room{store: s, log: log, stream: stream, added: make(map[string]int64)}
}

// wait waits until there is room for all items, and counts them as stored.
func (r *room) wait(ctx context.Context, items []wire.Item) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if limit := r.seen.MaxEach; r.looked.IsZero() || time.Since(r.looked) > roomFor || limit > 0 && r.total > limit/lookIf {
			if err := r.look(ctx); err != nil {
				return err
			}
		}
		full := r.full(items)
		if full == "" {
			break
		}
		r.say(full)
		select {
		case <-time.After(roomLook):
			r.looked = time.Time{}
		case <-ctx.Done():
			return fmt.Errorf("waiting for room in stream %s: %w", r.stream, context.Cause(ctx))
		}
	}
	for _, item := range items {
		r.added[item.Subject]++
		r.total++
	}
	return nil
}

func (r *room) look(ctx context.Context) error {
	seen, err := r.store.Look(ctx, r.stream)
	if err != nil {
		return err
	}
	r.seen, r.looked, r.total = seen, time.Now(), 0
	clear(r.added)
	return nil
}

// full returns the subject of one of the items that has no room, or nothing.
func (r *room) full(items []wire.Item) string {
	if r.seen.MaxEach == 0 {
		return ""
	}
	for _, item := range items {
		if fullOf*(r.seen.Subjects[item.Subject]+r.added[item.Subject]) > fullIf*r.seen.MaxEach {
			return item.Subject
		}
	}
	return ""
}

func (r *room) say(subject string) {
	if time.Since(r.said) < roomSay {
		return
	}
	r.said = time.Now()
	r.log.Printf(logline.Warn, "outputs wait: %s holds %d messages of the %d that it may hold until its subscribers have handled some",
		subject, r.seen.Subjects[subject], r.seen.MaxEach)
}
