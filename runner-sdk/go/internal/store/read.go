package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrGone says that a message is no longer in its stream.
var ErrGone = errors.New("the message is no longer in its stream")

const (
	askWait          = 2 * time.Second // for an answer, before the question is asked again
	refusedNoMessage = 10037
)

// Read returns the message of that sequence in a stream, or ErrGone. It asks until ctx ends.
func (s *Store) Read(ctx context.Context, stream string, sequence uint64) (Record, error) {
	return s.get(ctx, stream, map[string]any{"seq": sequence})
}

// Last returns the last message on a subject of a stream, or ErrGone. It asks until ctx ends.
func (s *Store) Last(ctx context.Context, stream, subject string) (Record, error) {
	return s.get(ctx, stream, map[string]any{"last_by_subj": subject})
}

// Next returns the first message on a subject of a stream that has at least that sequence, and its own, or ErrGone. It asks
// until ctx ends.
func (s *Store) Next(ctx context.Context, stream, subject string, sequence uint64) (Record, error) {
	return s.get(ctx, stream, map[string]any{"seq": sequence, "next_by_subj": subject})
}

// Contents is what a stream holds.
type Contents struct {
	MaxEach  int64            // messages that one subject may have; 0: as many as come
	Subjects map[string]int64 // messages of each subject that has any
}

// Look returns what a stream holds. It asks until ctx ends.
func (s *Store) Look(ctx context.Context, stream string) (Contents, error) {
	var answer struct {
		Config struct {
			MaxEach int64 `json:"max_msgs_per_subject"`
		} `json:"config"`
		State struct {
			Subjects map[string]int64 `json:"subjects"`
		} `json:"state"`
		Error *Refusal `json:"error"`
	}
	err := s.ask(ctx, "$JS.API.STREAM.INFO."+stream, map[string]any{"subjects_filter": ">"}, func(msg *nats.Msg) error {
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			return fmt.Errorf("reading the broker's answer: %w", err)
		}
		if answer.Error != nil {
			return answer.Error
		}
		return nil
	})
	if err != nil {
		return Contents{}, fmt.Errorf("looking at stream %s: %w", stream, err)
	}
	return Contents{MaxEach: max(0, answer.Config.MaxEach), Subjects: answer.State.Subjects}, nil
}

func (s *Store) get(ctx context.Context, stream string, question map[string]any) (Record, error) {
	var record Record
	err := s.ask(ctx, "$JS.API.STREAM.MSG.GET."+stream, question, func(msg *nats.Msg) (err error) {
		record, err = readRecord(msg)
		return err
	})
	if err != nil && !errors.Is(err, ErrGone) {
		return Record{}, fmt.Errorf("reading from stream %s: %w", stream, err)
	}
	record.Stream = stream
	return record, err
}

// ask asks until read takes the answer or says ErrGone, or ctx ends.
func (s *Store) ask(ctx context.Context, subject string, question any, read func(*nats.Msg) error) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err // the caller says what it was about
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		msg, err := s.conn.Ask(&nats.Msg{Subject: subject, Data: body}).Wait(ctx, askWait)
		if err == nil {
			err = read(msg)
		}
		if err == nil || errors.Is(err, ErrGone) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.conn.Up(ctx)
	}
}

func readRecord(msg *nats.Msg) (Record, error) {
	var answer struct {
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Body     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
		Error *Refusal `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Record{}, fmt.Errorf("reading the broker's answer: %w", err)
	}
	if answer.Error != nil {
		if answer.Error.Code == refusedNoMessage {
			return Record{}, ErrGone
		}
		return Record{}, answer.Error
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Header)
	if err != nil && len(answer.Message.Header) > 0 {
		return Record{}, fmt.Errorf("reading the broker's answer: %w", err)
	}
	return Record{
		Sequence: answer.Message.Sequence, Subject: answer.Message.Subject, Header: header, Body: answer.Message.Body,
		Stored: answer.Message.Time,
	}, nil
}
