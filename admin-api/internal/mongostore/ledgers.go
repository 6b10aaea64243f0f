package mongostore

import (
	"context"
	"encoding/json"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// ledgerDocument is how a ledger is stored. The revision is the ledger's own, once more: it is what a write is guarded by.
type ledgerDocument struct {
	ID       string `bson:"_id"`
	Revision int64  `bson:"revision"`
	Ledger   string `bson:"ledger"` // JSON
}

func writeLedger(l engine.Ledger) (ledgerDocument, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return ledgerDocument{}, fmt.Errorf("cannot write the ledger of runtime %s: %w", l.Name, err)
	}
	return ledgerDocument{ID: l.Name, Revision: l.Revision, Ledger: string(text)}, nil
}

func readLedger(d ledgerDocument) (engine.Ledger, error) {
	var l engine.Ledger
	if err := json.Unmarshal([]byte(d.Ledger), &l); err != nil {
		return engine.Ledger{}, fmt.Errorf("cannot read the ledger of runtime %s: %w", d.ID, err)
	}
	return l, nil
}

// CreateLedger is part of engine.Ledgers.
func (s *Store) CreateLedger(ctx context.Context, ledger engine.Ledger) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	document, err := writeLedger(ledger)
	if err != nil {
		return err
	}
	_, err = s.ledgers.InsertOne(ctx, document)
	if mongo.IsDuplicateKeyError(err) {
		return fault.Wrap(fault.AlreadyExists, err, "there is a runtime %s", ledger.Name)
	}
	return failure(err, "cannot store a new ledger")
}

// Ledger is part of engine.Ledgers.
func (s *Store) Ledger(ctx context.Context, runtime string) (engine.Ledger, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var d ledgerDocument
	err := s.ledgers.FindOne(ctx, byID(runtime)).Decode(&d)
	if none(err) {
		return engine.Ledger{}, noLedger(runtime)
	}
	if err != nil {
		return engine.Ledger{}, failure(err, "cannot read a ledger")
	}
	return readLedger(d)
}

// Ledgers is part of engine.Ledgers.
func (s *Store) Ledgers(ctx context.Context, prefix, after string, limit int) ([]engine.Ledger, error) {
	if limit <= 0 {
		return nil, nil
	}
	filter, o := ledgersQuery(prefix, after, limit)
	documents, err := find[ledgerDocument](ctx, s, s.ledgers, filter, o)
	if err != nil {
		return nil, failure(err, "cannot read ledgers")
	}
	ledgers := make([]engine.Ledger, len(documents))
	for i, d := range documents {
		if ledgers[i], err = readLedger(d); err != nil {
			return nil, err
		}
	}
	return ledgers, nil
}

func ledgersQuery(prefix, after string, limit int) (bson.D, *options.FindOptionsBuilder) {
	return idRange(prefix, after, successor(prefix)), options.Find().SetSort(ascending).SetLimit(int64(limit))
}

// ReplaceLedger is part of engine.Ledgers.
func (s *Store) ReplaceLedger(ctx context.Context, ledger engine.Ledger, was int64) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	document, err := writeLedger(ledger)
	if err != nil {
		return err
	}
	result, err := s.ledgers.ReplaceOne(ctx, guarded(ledger.Name, was), document)
	if err != nil {
		return failure(err, "cannot replace a ledger")
	}
	if result.MatchedCount == 0 {
		return s.another(ctx, ledger.Name, was)
	}
	return nil
}

// DeleteLedger is part of engine.Ledgers.
func (s *Store) DeleteLedger(ctx context.Context, runtime string, was int64) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	result, err := s.ledgers.DeleteOne(ctx, guarded(runtime, was))
	if err != nil {
		return failure(err, "cannot remove a ledger")
	}
	if result.DeletedCount == 0 {
		return s.another(ctx, runtime, was)
	}
	return nil
}

// guarded is the filter for a ledger of that revision.
func guarded(runtime string, revision int64) bson.D {
	return bson.D{{Key: "_id", Value: runtime}, {Key: "revision", Value: revision}}
}

// another says why there was no ledger of that revision.
func (s *Store) another(ctx context.Context, runtime string, revision int64) error {
	err := s.ledgers.FindOne(ctx, byID(runtime)).Err()
	if none(err) {
		return noLedger(runtime)
	}
	if err != nil {
		return failure(err, "cannot read a ledger")
	}
	return fault.New(fault.Conflict, "runtime %s is no longer at revision %d", runtime, revision)
}

func noLedger(runtime string) error {
	return fault.New(fault.NotFound, "there is no runtime %s", runtime)
}
