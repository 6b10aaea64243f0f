// Package store stores messages in streams until the broker has confirmed them. What is slow is waited for; what is lost is
// sent again at once; what is refused is sent again after a while.
package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Headers by which messages are known in the log.
const (
	messageID = "Kre-Message-Id"
	requestID = "Kre-Request-Id"
)

const (
	firstPause = 50 * time.Millisecond // after a refusal
	lastPause  = time.Second

	patientTries = 4 // of one record that is refused, before a word of it is said
)

// Record is a message to store, or one that is stored.
type Record struct {
	Stream   string // that its subject belongs to
	Sequence uint64 // of one that is stored
	ID       string // of one to store: by which the broker knows it for the duplicate window
	Subject  string
	Header   map[string][]string // may be added to
	Body     []byte
	Stored   time.Time // by the broker's clock, of one that is stored
}

// Outcome is how the broker took a record.
type Outcome struct {
	Duplicate bool   // something had been stored under the id before
	Sequence  uint64 // of what is stored under the id
	Repeated  bool   // it was sent more than once, so that what was stored before may be the record itself
}

// TooLargeError says that the broker does not take a message of that size.
type TooLargeError struct {
	Size, Limit int // bytes, headers included; 0 is not known
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("an output of %d bytes, headers included, is larger than its stream takes", e.Size)
	}
	return fmt.Sprintf("an output of %d bytes, headers included, is larger than the %d bytes that the broker takes", e.Size, e.Limit)
}

// Store stores messages over one connection.
type Store struct {
	conn *broker.Conn
	log  *logline.Log
	send func(*nats.Msg, func(*nats.Msg)) error // the connection's AskFunc

	complaints complaints

	mu         sync.Mutex
	lanes      map[string]*lane // by stream
	replicated bool
}

// New returns a store on top of a connection. Keep has to run beside it.
func New(conn *broker.Conn, log *logline.Log) *Store {
	s := &Store{conn: conn, log: log, send: conn.AskFunc, lanes: make(map[string]*lane)}
	conn.OnReconnect(func() {
		for _, lane := range s.all() {
			lane.resume()
		}
	})
	return s
}

// Replicated says that streams have replicas, so that a change of their leader may lose what was sent.
func (s *Store) Replicated() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicated = true
}

// Keep sends again what the broker must have lost, until ctx ends.
func (s *Store) Keep(ctx context.Context) {
	ticker := time.NewTicker(lookEach)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, lane := range s.all() {
				lane.look(now)
			}
		}
	}
}

func (s *Store) all() []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*lane, 0, len(s.lanes))
	for _, lane := range s.lanes {
		all = append(all, lane)
	}
	return all
}

func (s *Store) lane(stream string) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.lanes[stream]
	if found == nil {
		found = &lane{store: s, window: firstWindow}
		s.lanes[stream] = found
	}
	return found
}

func (s *Store) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Patience(s.replicated)
}

// Saving is records on their way.
type Saving struct {
	lane *lane
	all  []*sending
}

// Begin begins to store records, which belong to one stream, in order and behind all that was begun before them. It does not
// wait.
func (s *Store) Begin(records ...Record) *Saving {
	saving := &Saving{lane: s.lane(records[0].Stream), all: make([]*sending, 0, len(records))}
	for _, record := range records {
		record.Header[nats.MsgIdHdr] = []string{record.ID}
		saving.all = append(saving.all, &sending{record: record, answered: make(chan struct{})})
	}
	saving.lane.add(saving.all)
	return saving
}

// Save stores a record, and waits until that is confirmed. Errors are those of Finish.
func (s *Store) Save(ctx context.Context, record Record) (Outcome, error) {
	outcomes, err := s.Begin(record).Finish(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return outcomes[0], nil
}

// Finish waits until every record is confirmed. It gives up only when ctx ends, or with a *TooLargeError.
func (s *Saving) Finish(ctx context.Context) ([]Outcome, error) {
	outcomes := make([]Outcome, 0, len(s.all))
	for i, one := range s.all {
		outcome, err := s.finish(ctx, one)
		if err != nil {
			s.lane.forget(s.all[i:])
			return nil, err
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

func (s *Saving) finish(ctx context.Context, one *sending) (Outcome, error) {
	refused := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-one.answered:
		case <-ctx.Done():
			return Outcome{}, fmt.Errorf("storing the output: %w", context.Cause(ctx))
		}
		outcome, err := s.lane.result(one)
		if err == nil {
			return outcome, nil
		}
		if errors.Is(err, broker.ErrTooLarge) || isRefusal(err, refusedTooLarge) {
			return Outcome{}, s.tooLarge(err, one.record)
		}
		if refused++; refused >= patientTries {
			s.lane.store.complain(one.record, err.Error())
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): // others may have been refused at the same moment
		case <-ctx.Done():
			return Outcome{}, fmt.Errorf("storing the output: %w", context.Cause(ctx))
		}
		s.lane.again(one)
	}
}

func (s *Saving) tooLarge(err error, record Record) error {
	tooLarge := &TooLargeError{Size: record.size()}
	if errors.Is(err, broker.ErrTooLarge) {
		tooLarge.Limit = s.lane.store.conn.Limit()
	}
	return tooLarge
}

func (s *Store) complain(record Record, why string) {
	if s.complaints.due() {
		s.log.Write(logline.Record{
			Level: logline.Warn, Message: "output is not stored yet, trying on; others may wait as well", Err: why,
			MessageID: record.first(messageID), RequestID: record.first(requestID),
		})
	}
}

func (r Record) message() *nats.Msg {
	return &nats.Msg{Subject: r.Subject, Header: r.Header, Data: r.Body}
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

func (r Record) first(name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
