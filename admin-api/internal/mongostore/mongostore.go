// Package mongostore is the engine's store in MongoDB, or in what understands its protocol: it works in the subset that
// FerretDB 1.24 knows as well, of which embedded/documents is one.
//
// Every read is by `_id`, or by a range of it, which is what both serve by an index:
//
//	ledgers     <runtime>                              what changes, guarded by revision
//	details     <runtime>/<version>/<upload>           written once
//	configs     <runtime>/<version>/<upload>/<config>  written once
//	activities  <runtime>/<revision, 19 digits>        written once; also indexed by version and by action
//
// Everything of a runtime is a range, `<runtime>/` up to `<runtime>0` (0 is what follows / in ASCII), and so is everything of
// one of its versions. There is no transaction and no update within a document: a ledger is replaced as a whole, if its
// revision is what the writer has read.
//
// Ledgers and details are kept as JSON in one field. Nothing in them is searched for, and FerretDB needs about 5 µs for every
// field that it reads or writes: a millisecond for the ledger of a runtime with ten versions, and much more than that for
// one with hundreds. One collection per runtime was another way to keep FerretDB from scanning; MongoDB does not like
// thousands of collections, and with the pages of embedded/documents it is not needed.
package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/socket"
)

// Options of a store.
type Options struct {
	// Timeout bounds each question to the server, besides the context. 0: 5 s.
	Timeout time.Duration

	monitor *event.CommandMonitor // sees every command; for tests
}

// Store is an engine.Store.
type Store struct {
	client  *mongo.Client
	timeout time.Duration

	ledgers, details, configs, activities *mongo.Collection
}

var _ engine.Store = (*Store)(nil)

// Open connects to the server and makes the indexes. fault.Invalid: the address cannot be read; fault.Unavailable: the server
// does not answer.
func Open(ctx context.Context, uri, database string, o Options) (*Store, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri).
		SetAppName("admin-api").
		SetDialer(socket.Dialer{}).
		SetServerSelectionTimeout(o.Timeout).
		SetConnectTimeout(o.Timeout).
		SetMonitor(o.monitor))
	if err != nil {
		// Not wrapped: the error may repeat the address, and a password in it.
		return nil, fault.New(fault.Invalid, "the address of the MongoDB server cannot be read; want mongodb://host:port/ or mongodb+srv://host/")
	}
	db := client.Database(database)
	s := &Store{
		client: client, timeout: o.Timeout,
		ledgers:    db.Collection("ledgers"),
		details:    db.Collection("details"),
		configs:    db.Collection("configs"),
		activities: db.Collection("activities"),
	}
	if err := s.makeIndexes(ctx); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// indexes of activities; all collections have one over `_id` anyway.
var indexes = map[string]bson.D{
	"version": {{Key: "version", Value: 1}, {Key: "_id", Value: 1}},
	"action":  {{Key: "action", Value: 1}, {Key: "_id", Value: 1}},
}

// makeIndexes makes those that are not there, one by one: FerretDB fails at making several that are.
func (s *Store) makeIndexes(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	there, err := s.activities.Indexes().ListSpecifications(ctx)
	if err != nil {
		return failure(err, "cannot read the indexes of the store")
	}
	for name, keys := range indexes {
		if slices.ContainsFunc(there, func(i mongo.IndexSpecification) bool { return i.Name == name }) {
			continue
		}
		index := mongo.IndexModel{Keys: keys, Options: options.Index().SetName(name)}
		if _, err := s.activities.Indexes().CreateOne(ctx, index); err != nil {
			return failure(err, "cannot make the indexes of the store")
		}
	}
	return nil
}

// Ping asks the server for a sign of life. fault.Unavailable: there is none.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return failure(s.client.Ping(ctx, nil), "cannot reach the store")
}

// Close ends the connections.
func (s *Store) Close(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := s.client.Disconnect(ctx); err != nil {
		return fmt.Errorf("cannot disconnect from the store: %w", err)
	}
	return nil
}

// limit gives a question its time.
func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}
