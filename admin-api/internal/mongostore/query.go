package mongostore

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// atOnce is how many documents are named in one command.
const atOnce = 500

var (
	ascending  = bson.D{{Key: "_id", Value: 1}}
	descending = bson.D{{Key: "_id", Value: -1}}
)

func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }

// find reads all that is found; its caller bounds how much that is.
func find[T any](ctx context.Context, s *Store, c *mongo.Collection, filter bson.D, o *options.FindOptionsBuilder) ([]T, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	cursor, err := c.Find(ctx, filter, o)
	if err != nil {
		return nil, err
	}
	var found []T
	err = cursor.All(ctx, &found)
	return found, err
}

// idRange is the filter for ids from a first one on that come behind another and before an end ("": there is none).
func idRange(first, behind, end string) bson.D {
	bounds := bson.D{}
	if behind >= first && behind != "" {
		bounds = append(bounds, bson.E{Key: "$gt", Value: behind})
	} else {
		bounds = append(bounds, bson.E{Key: "$gte", Value: first})
	}
	if end != "" {
		bounds = append(bounds, bson.E{Key: "$lt", Value: end})
	}
	return bson.D{{Key: "_id", Value: bounds}}
}

// within is the filter for the ids that are a path and something behind it.
func within(path string) bson.D { return idRange(path+"/", "", path+"0") }

// successor is the first string behind all that begin with a prefix; "": there is none.
func successor(prefix string) string {
	runes := []rune(prefix)
	for i, r := range slices.Backward(runes) {
		switch r {
		case utf8.MaxRune:
			continue
		case 0xD7FF: // behind it come surrogates, which are no characters
			r = 0xDFFF
		}
		return string(append(runes[:i:i], r+1))
	}
	return ""
}

// id is the part of a document that a removal needs.
type id struct {
	ID string `bson:"_id"`
}

// removeAll removes what is found, some at a time and each by its `_id`: FerretDB reads the whole collection for anything
// else.
func (s *Store) removeAll(ctx context.Context, c *mongo.Collection, filter bson.D) error {
	o := options.Find().SetSort(ascending).SetLimit(atOnce).SetProjection(ascending)
	for {
		found, err := find[id](ctx, s, c, filter, o)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := s.remove(ctx, c, found); err != nil {
			return err
		}
		if len(found) < atOnce {
			return nil
		}
	}
}

func (s *Store) remove(ctx context.Context, c *mongo.Collection, documents []id) error {
	if len(documents) == 0 {
		return nil
	}
	removals := make([]mongo.WriteModel, len(documents))
	for i, d := range documents {
		removals[i] = mongo.NewDeleteOneModel().SetFilter(byID(d.ID))
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := c.BulkWrite(ctx, removals, options.BulkWrite().SetOrdered(false))
	return err
}

// insertOnce inserts what may be there already, in which case it is the same.
func (s *Store) insertOnce(ctx context.Context, c *mongo.Collection, document any) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := c.InsertOne(ctx, document)
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return err
}

func none(err error) bool { return errors.Is(err, mongo.ErrNoDocuments) }
