package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const (
	readMessages = 1_000   // at a time
	readBytes    = 4 << 20 // at a time
	// followPause is the time between two attempts to follow the stream.
	followPause = 200 * time.Millisecond
	apiPrefix   = "$JS.API.DIRECT.GET."
)

// Span implements logbook.Store: a line is stored after the time that it tells, but not much later than any line before.
func (l *Logs) Span(ctx context.Context, version string, start, end time.Time) (first, next uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	first, next = max(info.State.FirstSeq, 1), info.State.LastSeq+1
	if !start.IsZero() {
		if first, err = l.storedFrom(ctx, version, start, next); err != nil {
			return 0, 0, err
		}
	}
	if !end.IsZero() {
		late, err := l.lateness(ctx, time.Now())
		if err != nil {
			return 0, 0, err
		}
		limit := end.Add(usualLateness + time.Duration(late.Seconds)*time.Second)
		if limit.Before(time.Now()) {
			if next, err = l.storedFrom(ctx, version, limit, next); err != nil {
				return 0, 0, err
			}
		}
	}
	return first, max(first, next), nil
}

// storedFrom is the sequence of the version's first line that was stored at a time or later, or the one given.
func (l *Logs) storedFrom(ctx context.Context, version string, at time.Time, none uint64) (uint64, error) {
	sequence := none
	_, err := l.ask(ctx, getRequest{StartTime: &at, Subject: subjectOf(version, ">"), Batch: 1}, func(line logbook.Line) bool {
		sequence = min(line.Sequence, none)
		return false
	})
	return sequence, err
}

// Read implements logbook.Store.
func (l *Logs) Read(ctx context.Context, version string, from, before uint64, each func(logbook.Line) bool) error {
	if _, err := l.open(ctx); err != nil {
		return err
	}
	from = max(from, 1)
	for more := true; more && from < before; {
		request := getRequest{
			Sequence: from, Subject: subjectOf(version, ">"), MaxBytes: readBytes,
			Batch: int(min(readMessages, before-from)), // there are not more before
		}
		stopped := false
		var err error
		more, err = l.ask(ctx, request, func(line logbook.Line) bool {
			if line.Sequence < from {
				return true
			}
			from = line.Sequence + 1
			stopped = line.Sequence >= before || !each(line)
			return !stopped
		})
		if err != nil || stopped {
			return err
		}
	}
	return nil
}

// getRequest asks for messages of a stream, from a sequence or a time on.
type getRequest struct {
	Sequence  uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Subject   string     `json:"next_by_subj"`
	Batch     int        `json:"batch"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

// ask calls each with what one request answers, until it returns false. It tells whether there is more.
func (l *Logs) ask(ctx context.Context, request getRequest, each func(logbook.Line) bool) (more bool, err error) {
	const doing = "read stream " + logStream
	content, err := json.Marshal(request)
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	inbox := l.b.conn.NewInbox()
	answers, err := l.b.conn.SubscribeSync(inbox)
	if err != nil {
		return false, l.b.fault(err, doing)
	}
	defer answers.Unsubscribe() //nolint:errcheck // it is over with the connection at the latest
	if err := l.b.conn.PublishRequest(apiPrefix+logStream, inbox, content); err != nil {
		return false, l.b.fault(err, doing)
	}
	for {
		msg, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			l.gone(err)
			return false, l.b.fault(err, doing)
		}
		switch status := msg.Header.Get("Status"); {
		case status == "" || len(msg.Data) > 0:
		case status == "404":
			return false, nil
		case status == "204": // the end of the answer
			pending, err := strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64)
			return err == nil && pending > 0, nil
		case status == "503":
			l.gone(nats.ErrNoResponders)
			return false, l.unavailable(nats.ErrNoResponders, doing)
		default:
			return false, fmt.Errorf("%s: the broker answers %s %s", doing, status, msg.Header.Get("Description"))
		}
		line, err := readLine(msg)
		if err != nil {
			return false, fmt.Errorf("%s: %w", doing, err)
		}
		if !each(line) {
			return false, nil
		}
	}
}

func readLine(msg *nats.Msg) (logbook.Line, error) {
	sequence, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return logbook.Line{}, fmt.Errorf("the sequence of a line: %w", err)
	}
	stored, err := time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return logbook.Line{}, fmt.Errorf("the time of line %d: %w", sequence, err)
	}
	return lineOf(msg.Header.Get(jetstream.SubjectHeader), sequence, stored, msg.Header, msg.Data), nil
}

// Follow implements logbook.Store. A broker that is away is waited for.
func (l *Logs) Follow(ctx context.Context, version string, from uint64, each func(logbook.Line) error) error {
	next := max(from, 1)
	var failed error
	for {
		err := l.followOnce(ctx, version, next, func(line logbook.Line) bool {
			next = line.Sequence + 1
			failed = each(line)
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		l.gone(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}

// followOnce follows until something is in the way.
func (l *Logs) followOnce(ctx context.Context, version string, from uint64, each func(logbook.Line) bool) error {
	at, err := l.open(ctx)
	if err != nil {
		return err
	}
	var consumer jetstream.Consumer
	err = l.b.call(ctx, func(ctx context.Context) (err error) {
		consumer, err = at.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{subjectOf(version, ">")},
			DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:    from,
		})
		return err
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(readMessages))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream < from {
			continue
		}
		if !each(lineOf(msg.Subject(), meta.Sequence.Stream, meta.Timestamp, msg.Headers(), msg.Data())) {
			return errors.New("no more is wanted")
		}
	}
}
