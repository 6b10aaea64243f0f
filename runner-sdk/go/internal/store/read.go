package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrGone says that a message is no longer in its stream.
var ErrGone = errors.New("the message is no longer in its stream")

const refusedNoMessage = 10037

// Read returns the message of that sequence in a stream, or ErrGone. It asks until ctx ends.
func (s *Store) Read(ctx context.Context, stream string, sequence uint64) (Record, error) {
	return s.get(ctx, stream, map[string]any{"seq": sequence})
}

// Last returns the last message on a subject of a stream, or ErrGone. It asks until ctx ends.
func (s *Store) Last(ctx context.Context, stream, subject string) (Record, error) {
	return s.get(ctx, stream, map[string]any{"last_by_subj": subject})
}

func (s *Store) get(ctx context.Context, stream string, question map[string]any) (Record, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return Record{}, fmt.Errorf("asking stream %s: %w", stream, err)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		record, err := readRecord(s.conn.Ask(&nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + stream, Data: body}).Wait(ctx, confirmWait))
		if err == nil || errors.Is(err, ErrGone) {
			return record, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Record{}, fmt.Errorf("reading from stream %s: %w", stream, context.Cause(ctx))
		}
		s.conn.Up(ctx)
	}
}

func readRecord(msg *nats.Msg, err error) (Record, error) {
	if err != nil {
		return Record{}, err
	}
	var answer struct {
		Message struct {
			Subject string `json:"subject"`
			Header  []byte `json:"hdrs"`
			Body    []byte `json:"data"`
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
	return Record{Subject: answer.Message.Subject, Header: header, Body: answer.Message.Body}, nil
}
