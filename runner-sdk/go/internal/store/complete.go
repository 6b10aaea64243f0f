package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// Complete stores what is missing of a batch whose first message is stored.
//
// A broker that ends while it commits a batch restores the rest of it when it starts (nats-server 2.15.2), but before it
// knows its consumers: in a stream that keeps what somebody is interested in, the rest is dropped at once. Sent again, the
// batch is told to be a duplicate, since its first message is there. So a batch that was on its way when the connection
// was lost is looked after. What cannot be found is stored once more: if it had only been consumed already, it is there
// twice, under the same message id, as may happen when a broker restarts; if it was dropped, it would else be lost.
func (s *Store) Complete(ctx context.Context, id string, batch []Record) error {
	for _, record := range batch {
		unbatch(record)
	}
	// Under its known id the first message is not stored again, and alone it is told where it lies.
	first, err := s.Save(ctx, id, batch[0])
	if err != nil {
		return err
	}
	for i, record := range batch[1:] {
		if first.Duplicate {
			there, err := s.holds(ctx, first.Stream, first.Sequence+uint64(i)+1, record)
			if err != nil {
				return err
			}
			if there {
				continue
			}
		}
		if _, err := s.Save(ctx, fmt.Sprintf("%s-again-%d", id, i+1), record); err != nil {
			return err
		}
	}
	return nil
}

func unbatch(record Record) {
	maps.DeleteFunc(record.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Nats-Batch-") })
}

// holds reports whether the message of that sequence is record, as told by its id.
func (s *Store) holds(ctx context.Context, stream string, sequence uint64, record Record) (bool, error) {
	stored, err := s.Read(ctx, stream, sequence)
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	return stored.first(messageID) == record.first(messageID), err
}
