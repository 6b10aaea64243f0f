package broker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// shares sees to it that no version's lines drop those of another that has stored less. The broker drops the oldest of all
// when the stream is full; before it is, the oldest lines go of the versions that have stored most, so much that all of these
// keep equally much. What a version has stored follows from its first and its last line, which carry the bytes up to them:
// nothing has to be counted, and nothing is lost with this process.
type shares struct {
	mu     sync.Mutex
	totals map[string]int64 // what the last line carries, by version; those of which it is known
	used   int64            // bytes of the stream, or more
	known  bool             // used is
}

const (
	// spare is the part of the stream that is kept free and, when it is not, freed at a time: more than is stored at once.
	spare = 16
	// perMessage is what the broker stores with a message, and what it carries for us.
	perMessage = 64
)

// admit makes room for messages that are about to be stored, and has each carry what its version has stored then. The caller calls
// stored if they are.
func (l *Logs) admit(ctx context.Context, msgs []*nats.Msg) (stored func(), err error) {
	s := &l.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(0)
	totals := make(map[string]int64)
	for _, msg := range msgs {
		version := versionOf(msg.Subject)
		total, ok := totals[version]
		if !ok {
			if total, err = l.total(ctx, version); err != nil {
				return nil, err
			}
		}
		bytes := int64(msg.Size() + perMessage)
		size += bytes
		totals[version] = total + bytes
		msg.Header[headerTotal] = []string{strconv.FormatInt(total+bytes, 10)}
	}
	if err := l.makeRoom(ctx, size); err != nil {
		return nil, err
	}
	s.used += size // if they are not stored after all, it is looked at a little sooner
	for version := range totals {
		delete(s.totals, version) // somebody else may have stored
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.totals == nil {
			s.totals = make(map[string]int64)
		}
		maps.Copy(s.totals, totals)
	}, nil
}

// total is what the version's last line carries. With the version's lines it may be forgotten.
func (l *Logs) total(ctx context.Context, version string) (int64, error) {
	if total, ok := l.shares.totals[version]; ok {
		return total, nil
	}
	last, err := l.lastMark(ctx, version)
	return last.total, err
}

// makeRoom drops lines of those that have most unless there is room for size bytes.
func (l *Logs) makeRoom(ctx context.Context, size int64) error {
	part := l.opts.MaxBytes / spare
	high := l.opts.MaxBytes - part
	if size = min(size, part); part <= 0 || l.shares.known && l.shares.used+size <= high {
		return nil
	}
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	l.shares.used, l.shares.known = bytesOf(info), true
	if l.shares.used+size <= high {
		return nil
	}
	if info, err = l.info(ctx, jetstream.WithSubjectFilter(logPrefix+">")); err != nil {
		return err
	}
	held := make(map[string]span)
	for subject := range info.State.Subjects {
		version := versionOf(subject)
		if _, ok := held[version]; ok {
			continue
		}
		if held[version], err = l.span(ctx, version); err != nil {
			return err
		}
	}
	share := shareOf(slices.Collect(maps.Values(held)), high-part-size)
	for version, span := range held {
		if span.bytes() > share {
			if err := l.shorten(ctx, version, span, share); err != nil {
				return err
			}
		}
	}
	if info, err = l.info(ctx); err != nil {
		return err
	}
	// Where that was not enough, the broker drops the oldest; it is not tried again for each line.
	l.shares.used = min(bytesOf(info), high-part)
	return nil
}

func bytesOf(info *jetstream.StreamInfo) int64 { return int64(info.State.Bytes) } //nolint:gosec // no disk has more

// shareOf is how much each may keep, so that all together have no more than room.
func shareOf(held []span, room int64) int64 {
	slices.SortFunc(held, func(a, b span) int { return cmp.Compare(a.bytes(), b.bytes()) })
	for i, span := range held {
		share := room / int64(len(held)-i)
		if span.bytes() > share {
			return max(share, 0)
		}
		room -= span.bytes()
	}
	return max(room, 0)
}

// mark is a line and what it carries. One that was stored by an earlier runtime-api carries 0.
type mark struct {
	sequence uint64
	total    int64
}

// span is a version's lines.
type span struct{ first, last mark }

func (s span) bytes() int64 { return s.last.total - s.first.total }

func (l *Logs) span(ctx context.Context, version string) (s span, err error) {
	if s.first, err = l.markFrom(ctx, version, 1); err != nil {
		return span{}, err
	}
	s.last, err = l.lastMark(ctx, version)
	return s, err
}

// lastMark is the version's last line.
func (l *Logs) lastMark(ctx context.Context, version string) (mark, error) {
	return l.edge(ctx, func(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subjectOf(version, ">"))
	})
}

// markFrom is the version's first line from a sequence on.
func (l *Logs) markFrom(ctx context.Context, version string, sequence uint64) (mark, error) {
	return l.edge(ctx, func(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subjectOf(version, ">")))
	})
}

// shorten drops a version's oldest lines, so that it has no more than share.
func (l *Logs) shorten(ctx context.Context, version string, s span, share int64) error {
	from, to := s.first, s.last // the first line that stays is after from, and to at the latest
	for from.sequence+1 < to.sequence {
		middle, err := l.markFrom(ctx, version, from.sequence+(to.sequence-from.sequence)/2)
		if err != nil {
			return err
		}
		switch {
		case middle.sequence == 0: // they have gone meanwhile
			return nil
		case middle.total < s.last.total-share:
			from = middle
		case middle.sequence < to.sequence:
			to = middle
		default: // nothing lies between the middle and to
			to.sequence = from.sequence + (to.sequence-from.sequence)/2
		}
	}
	at, err := l.open(ctx)
	if err != nil {
		return err
	}
	err = l.b.call(ctx, func(ctx context.Context) error {
		return at.stream.Purge(ctx, jetstream.WithPurgeSubject(subjectOf(version, ">")), jetstream.WithPurgeSequence(to.sequence))
	})
	l.gone(err)
	return l.b.fault(err, "drop the oldest lines of version %s", version)
}

// edge is the line that get finds, zero for none.
func (l *Logs) edge(ctx context.Context, get func(context.Context, jetstream.Stream) (*jetstream.RawStreamMsg, error)) (mark, error) {
	at, err := l.open(ctx)
	if err != nil {
		return mark{}, err
	}
	var found mark
	err = l.b.call(ctx, func(ctx context.Context) error {
		msg, err := get(ctx, at.stream)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		found.sequence = msg.Sequence
		found.total, _ = strconv.ParseInt(msg.Header.Get(headerTotal), 10, 64) // 0 where there is none
		return nil
	})
	l.gone(err)
	return found, l.b.fault(err, "find how much a version has logged")
}

func (l *Logs) info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	at, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	var info *jetstream.StreamInfo
	err = l.b.call(ctx, func(ctx context.Context) (err error) {
		info, err = at.stream.Info(ctx, opts...)
		return err
	})
	l.gone(err)
	return info, l.b.fault(err, "look at stream %s", logStream)
}

func versionOf(subject string) string {
	version, _, _ := strings.Cut(strings.TrimPrefix(subject, logPrefix), ".")
	return version
}
