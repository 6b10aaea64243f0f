package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
)

const (
	// From this delivery on a message is suspected to end the process that handles it.
	suspicious = 3
	// So many starts without an end prove it.
	deadlyStarts = 3
	// So many processes have then ended where nobody outlived them: the deliveries before the recorded ones were not recorded.
	unrecorded = 2
)

// deadly says how often the process that handled a message has ended.
type deadly int

func (d deadly) Error() string {
	return fmt.Sprintf("the process ended %d times while it handled this message", int(d))
}

// alone handles a suspicious message while nothing else goes on in this process, so that its start, which is recorded,
// can be held against no other message.
func (e *engine) alone(told, hard context.Context, run *run) {
	d := run.delivery
	run.suspect = true
	if !e.under.none(told) {
		e.pull.GiveBack(d)
		return
	}
	e.pending.Wait()
	e.pull.Settle()
	starts := e.starts(run)
	before, err := starts.read(hard)
	switch {
	case err != nil:
		e.pull.GiveBack(d)
		return
	case before >= deadlyStarts:
		err = e.bury(hard, run, before+unrecorded)
	default:
		if err = starts.write(hard, before+1); err == nil {
			err = e.untilItEnds(told, hard, run, before+1)
		}
	}
	e.letGo(d, err)
	if errors.Is(err, errGivenBack) {
		return // the start stays recorded: it did not end
	}
	e.suspects.forget(run.input.ID)
	// The key has a limited life, should this be the moment at which the process has to end.
	_ = starts.remove(hard)
}

// bury gives a message up whose process has ended so often.
func (e *engine) bury(ctx context.Context, run *run, deaths int) error {
	e.logRun(logline.Error, run, "the message is given up", deadly(deaths))
	return e.giveUpAfter(ctx, run, deadly(deaths), deaths)
}

// died counts a death of the hands' process over a message, which this one has outlived.
func (e *engine) died(hard context.Context, run *run) error {
	starts := e.starts(run)
	before, err := starts.read(hard)
	if err != nil {
		return err
	}
	deaths := before + 1
	if deaths < deadlyStarts {
		if err := starts.write(hard, deaths); err != nil {
			return err
		}
		e.outlived(run, deaths)
		return errGivenBack
	}
	if err := e.bury(hard, run, deaths); err != nil {
		return err
	}
	e.suspects.forget(run.input.ID)
	_ = starts.remove(hard) // as above
	return nil
}

// outlived says that a message has ended the process that handled it, and is to be handled alone from now on.
func (e *engine) outlived(run *run, deaths int) {
	e.logRun(logline.Error, run, fmt.Sprintf("the process ended while it handled this message: %d of %d times", deaths, deadlyStarts), nil)
	e.suspects.add(run.input.ID)
}

var errToldToEnd = errors.New("the process was told to end between two attempts")

// untilItEnds attempts the message until it succeeds or is exhausted, and does what follows, all in one go. This is the
// start of that number that is recorded.
func (e *engine) untilItEnds(told, hard context.Context, run *run, start int) error {
	for {
		result, fate := e.attempt(hard, run)
		switch {
		case fate == NotBegun || fate == Died && hard.Err() != nil:
			return errToldToEnd
		case fate == Died && start >= deadlyStarts:
			return e.bury(hard, run, start)
		case fate == Died:
			e.outlived(run, start)
			return errGivenBack
		case result.Err == nil:
			return e.succeed(hard, run, result)()
		case e.exhausted(run, result.Err):
			return e.giveUp(hard, run, result.Err)
		}
		select {
		case <-time.After(retryAfter(run.delivery.Attempts)):
			run.early = nil
		case <-told.Done():
			return errToldToEnd
		}
	}
}

// starts is the record of a message's starts at a node that have not come to an end, a key of the version's bucket.
type starts struct {
	store       *store.Store
	bucket, key string
}

func (e *engine) starts(run *run) starts {
	return starts{store: e.store, bucket: e.node.Starts, key: startsKey(e.node.ID, run.input.ID)}
}

func (s starts) subject() string { return "$KV." + s.bucket + "." + s.key }

// startsKey keeps to what a key may hold.
func startsKey(node, messageID string) string {
	allowed := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}
	return strings.Map(allowed, node) + "." + strings.Map(allowed, messageID)
}

func (s starts) read(ctx context.Context) (int, error) {
	record, err := s.store.Last(ctx, "KV_"+s.bucket, s.subject())
	if errors.Is(err, store.ErrGone) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the starts of a message: %w", err)
	}
	n, err := strconv.Atoi(string(record.Body))
	if err != nil {
		return 0, nil //nolint:nilerr // a removed key leaves an empty message, and nothing else is a number of ours
	}
	return n, nil
}

func (s starts) write(ctx context.Context, n int) error { return s.put(ctx, nil, strconv.Itoa(n)) }

func (s starts) remove(ctx context.Context) error {
	return s.put(ctx, map[string][]string{"KV-Operation": {"DEL"}}, "")
}

func (s starts) put(ctx context.Context, header map[string][]string, value string) error {
	if header == nil {
		header = make(map[string][]string)
	}
	_, err := s.store.Save(ctx, store.Record{
		Stream: "KV_" + s.bucket, ID: nuid.Next(), Subject: s.subject(), Header: header, Body: []byte(value),
	})
	if err != nil {
		return fmt.Errorf("recording the start of a message: %w", err)
	}
	return nil
}

// maxSuspects bounds what is remembered of messages that went elsewhere.
const maxSuspects = 1000

// suspects are messages over which a process of this node has died: ids, the oldest first.
type suspects struct {
	mu  sync.Mutex
	ids []string
}

func (s *suspects) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == maxSuspects {
		s.ids = s.ids[1:]
	}
	s.ids = append(s.ids, id)
}

func (s *suspects) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.ids, id)
}

func (s *suspects) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.ids, id); i >= 0 {
		s.ids = slices.Delete(s.ids, i, i+1)
	}
}
