package runner

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
)

const (
	// From this delivery on a message is suspected to end the process that handles it.
	suspicious = 3
	// So many starts without an end prove it; the deliveries before were not recorded.
	deadlyStarts   = 3
	deadlyAttempts = 5
)

var errDeadly = errors.New("the process ended 5 times while it handled this message")

// alone handles a suspicious message while nothing else goes on in this process, so that its start, which is recorded,
// can be held against no other message.
func (r *Runner) alone(told, hard context.Context, run *run) {
	d := run.delivery
	r.pending.Wait()
	starts := starts{store: r.store, bucket: r.node.Starts, key: startsKey(r.node.ID, run.input.ID)}
	before, err := starts.read(hard)
	switch {
	case err != nil:
		r.pull.GiveBack(d)
		return
	case before >= deadlyStarts:
		r.logRun(logline.Error, run, "the message is given up", errDeadly)
		err = r.giveUpAfter(hard, run, errDeadly, deadlyAttempts)
	default:
		if err = starts.write(hard, before+1); err == nil {
			err = r.untilItEnds(told, hard, run)
		}
	}
	r.letGo(d, err)
	// The key has a limited life, should this be the moment at which the process has to end.
	_ = starts.remove(hard)
}

var errToldToEnd = errors.New("the process was told to end between two attempts")

// untilItEnds attempts the message until it succeeds or is exhausted, and does what follows, all in one go.
func (r *Runner) untilItEnds(told, hard context.Context, run *run) error {
	for {
		result := r.attempt(hard, run)
		switch {
		case result.Err == nil:
			return r.succeed(hard, run, result)()
		case r.exhausted(run, result.Err):
			return r.giveUp(hard, run, result.Err)
		}
		select {
		case <-time.After(retryAfter(run.delivery.Attempts)):
			run.delivery.Attempts++
			run.early = nil
		case <-told.Done():
			return errToldToEnd
		}
	}
}

// starts is the record of a message's starts at a node, a key of the version's bucket.
type starts struct {
	store       *store.Store
	bucket, key string
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
	_, err := s.store.Save(ctx, nuid.Next(), store.Record{Subject: s.subject(), Header: header, Body: []byte(value)})
	if err != nil {
		return fmt.Errorf("recording the start of a message: %w", err)
	}
	return nil
}
