// Package store puts messages into streams so that they are there once and for certain: what is saved under an id is
// saved whole or not at all, and again and again until the broker has confirmed it.
package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
)

// Headers that tell messages apart, here and in the log.
const (
	messageID = "Kre-Message-Id"
	requestID = "Kre-Request-Id"
)

const (
	confirmWait = 2 * time.Second
	firstPause  = 50 * time.Millisecond
	lastPause   = time.Second

	patientTries = 4 // of one saving, before a word of it is said

	// A batch holds no more than this; the broker's own limit is 1,000 messages.
	batchMessages = 500
	batchBytes    = 8 << 20
)

// Record is a message to be stored.
type Record struct {
	Subject string
	Header  map[string][]string // may be added to
	Body    []byte
}

// Outcome is what became of a saving.
type Outcome struct {
	Duplicate bool   // something had been saved under the id before
	Stream    string // of that, if it was not a batch that was to be saved
	Sequence  uint64 // likewise
	Repeated  bool   // it took more than one try, so that what was saved before may be this saving's own
}

// TooLargeError says that a message is larger than broker or stream take. No repeating cures it.
type TooLargeError struct {
	Size, Limit int // bytes, headers included; 0 is not known
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("an output of %d bytes, headers included, is larger than its stream takes", e.Size)
	}
	return fmt.Sprintf("an output of %d bytes, headers included, is larger than the %d bytes that the broker takes", e.Size, e.Limit)
}

// Store saves over a connection.
type Store struct {
	conn *broker.Conn
	log  *logline.Log

	complaints complaints

	// Held while a batch is sent: the broker bounds how many are open at a time, and so there is one of each process.
	batch sync.Mutex
}

// New returns a store.
func New(conn *broker.Conn, log *logline.Log) *Store { return &Store{conn: conn, log: log} }

// Saving is under way.
type Saving struct {
	store   *Store
	id      string
	batches [][]Record
	answer  *broker.Answer // of the first batch's first try
}

// Begin begins to save records under id, in order, and does not wait. At least one is given.
func (s *Store) Begin(id string, records []Record) *Saving {
	saving := &Saving{store: s, id: id, batches: split(records)}
	saving.answer = s.send(saving.id, saving.batches[0])
	return saving
}

// Save is Begin and Finish.
func (s *Store) Save(ctx context.Context, id string, records ...Record) (Outcome, error) {
	return s.Begin(id, records).Finish(ctx)
}

// Finish returns when everything is saved. It gives up only when ctx ends, or with a TooLargeError. The outcome is that
// of the first batch.
func (s *Saving) Finish(ctx context.Context) (Outcome, error) {
	first, err := s.store.confirm(ctx, s.id, s.batches[0], s.answer)
	if err != nil {
		return first, err
	}
	for i, batch := range s.batches[1:] {
		id := s.id + "-" + strconv.Itoa(i+2)
		if _, err := s.store.confirm(ctx, id, batch, s.store.send(id, batch)); err != nil {
			return first, err
		}
	}
	return first, nil
}

// split cuts records into batches that the broker takes.
func split(records []Record) [][]Record {
	var batches [][]Record
	start, size := 0, 0
	for i, record := range records {
		bytes := record.size()
		if i > start && (i-start == batchMessages || size+bytes > batchBytes) {
			batches = append(batches, records[start:i])
			start, size = i, 0
		}
		size += bytes
	}
	return append(batches, records[start:])
}

func (r Record) size() int {
	size := len(r.Body) + len(r.Subject)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// send sends a batch once and returns the answer to its last message, which confirms all of it.
func (s *Store) send(id string, batch []Record) *broker.Answer {
	batch[0].Header[nats.MsgIdHdr] = []string{id}
	if len(batch) == 1 {
		return s.conn.Ask(batch[0].message())
	}
	// A batch that was broken off stays open at the broker for a while: each try is a batch of its own.
	s.batch.Lock()
	defer s.batch.Unlock()
	batchID := nuid.Next()
	last := len(batch) - 1
	for i, record := range batch {
		record.Header["Nats-Batch-Id"] = []string{batchID}
		record.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i == last {
			break
		}
		// Not told here: the last message is refused when one before it is missing.
		if err := s.conn.Publish(record.message()); err != nil && errors.Is(err, nats.ErrMaxPayload) {
			return broker.Failed(broker.ErrTooLarge)
		}
	}
	batch[last].Header["Nats-Batch-Commit"] = []string{"1"}
	return s.conn.Ask(batch[last].message())
}

func (r Record) message() *nats.Msg {
	return &nats.Msg{Subject: r.Subject, Header: r.Header, Data: r.Body}
}

// confirm waits for the answer, and sends the batch again until there is one that says it is saved.
func (s *Store) confirm(ctx context.Context, id string, batch []Record, answer *broker.Answer) (Outcome, error) {
	lost, tries := false, 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		outcome, err := read(answer.Wait(ctx, confirmWait))
		if err == nil && lost && outcome.Duplicate && len(batch) > 1 {
			return outcome, s.Complete(ctx, id, batch)
		}
		if err == nil {
			outcome.Repeated = tries > 0
			return outcome, nil
		}
		if ctx.Err() != nil {
			return Outcome{}, fmt.Errorf("storing the output: %w", context.Cause(ctx))
		}
		lost = lost || errors.Is(err, broker.ErrLost)
		if errors.Is(err, broker.ErrTooLarge) || isRefusal(err, refusedTooLarge) {
			return Outcome{}, s.tooLarge(err, batch)
		}
		if tries++; tries >= patientTries && s.complaints.due() {
			s.log.Write(logline.Record{
				Level: logline.Warn, Message: "output is not stored yet, trying again; others may wait as well", Err: err.Error(),
				MessageID: batch[0].first(messageID), RequestID: batch[0].first(requestID),
			})
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Outcome{}, fmt.Errorf("storing the output: %w", context.Cause(ctx))
		}
		s.conn.Up(ctx)
		answer = s.send(id, batch)
	}
}

func (s *Store) tooLarge(err error, batch []Record) error {
	size := 0
	for _, record := range batch {
		size = max(size, record.size())
	}
	tooLarge := &TooLargeError{Size: size}
	if errors.Is(err, broker.ErrTooLarge) {
		tooLarge.Limit = s.conn.Limit()
	}
	return tooLarge
}

func (r Record) first(name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Error codes of the broker that mean something here; any other is a passing state.
const (
	refusedDuplicateBatch = 10201
	refusedTooLarge       = 10054
)

// Refusal is an error that the broker answered.
type Refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the broker refuses: %s (%d)", r.Description, r.Code)
}

func isRefusal(err error, codes ...int) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if refusal.Code == code {
			return true
		}
	}
	return len(codes) == 0
}

func read(msg *nats.Msg, err error) (Outcome, error) {
	if err != nil {
		return Outcome{}, err
	}
	// Nearly every answer is this one, and taking it apart would cost a twentieth of a node's time.
	if bytes.HasPrefix(msg.Data, []byte(`{"stream":`)) && !bytes.Contains(msg.Data, []byte(`"duplicate":`)) &&
		!bytes.Contains(msg.Data, []byte(`"error":`)) {
		return Outcome{}, nil
	}
	var answer struct {
		Stream    string   `json:"stream"`
		Sequence  uint64   `json:"seq"`
		Duplicate bool     `json:"duplicate"`
		Error     *Refusal `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Outcome{}, fmt.Errorf("reading the broker's answer: %w", err)
	}
	if answer.Error == nil {
		return Outcome{Duplicate: answer.Duplicate, Stream: answer.Stream, Sequence: answer.Sequence}, nil
	}
	if answer.Error.Code == refusedDuplicateBatch {
		return Outcome{Duplicate: true}, nil
	}
	return Outcome{}, answer.Error
}
