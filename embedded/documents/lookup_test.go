package documents_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/embedded/documents"
)

func TestLookUpsAndPagesHaveAnIndex(t *testing.T) {
	dir := t.TempDir()
	s := start(t, documents.Options{Dir: dir})
	_, err := connect(t, s.URI()).InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "test.sqlite"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var table string
	require.NoError(t, db.QueryRow(`SELECT table_name FROM _ferretdb_collections WHERE name = 'things'`).Scan(&table))
	for where, index := range map[string]string{
		`_ferretdb_sjson->'$._id' = ?`:                                             "kre_id_", // as FerretDB 1.24.2 writes it
		`_ferretdb_sjson->>'$._id' > ? ORDER BY _ferretdb_sjson->>'$._id' LIMIT 5`: "kre_order_",
	} {
		var id, parent, unused int
		var detail string
		row := db.QueryRow(`EXPLAIN QUERY PLAN SELECT _ferretdb_sjson FROM "`+table+`" WHERE `+where, `"a"`)
		require.NoError(t, row.Scan(&id, &parent, &unused, &detail))
		require.Contains(t, detail, "USING INDEX "+index)
	}
}

func TestCompareAndSetComparesAsFerretDBDoes(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	id := bson.NewObjectID()
	stored := bson.M{"number": int64(3), "text": "x", "yes": true, "list": bson.A{"x", "y"}, "nothing": nil}
	for name, filter := range map[string]bson.D{
		"equal":                 {{Key: "number", Value: int64(3)}},
		"another":               {{Key: "number", Value: int64(4)}},
		"a smaller type":        {{Key: "number", Value: int32(3)}},
		"a float":               {{Key: "number", Value: 3.0}},
		"a number for a text":   {{Key: "text", Value: int64(3)}},
		"two equal":             {{Key: "number", Value: int64(3)}, {Key: "text", Value: "x"}},
		"one of two equal":      {{Key: "number", Value: int64(3)}, {Key: "text", Value: "y"}},
		"a boolean":             {{Key: "yes", Value: false}},
		"a value of a list":     {{Key: "list", Value: "y"}},
		"no value of a list":    {{Key: "list", Value: "z"}},
		"null":                  {{Key: "nothing", Value: nil}},
		"a field that is not":   {{Key: "missing", Value: "x"}},
		"nothing where is none": {{Key: "missing", Value: nil}},
		"an operator":           {{Key: "number", Value: bson.M{"$gt": 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, key := range []any{"a", id} {
				_, err := things.DeleteMany(t.Context(), bson.M{})
				require.NoError(t, err)
				stored["_id"] = key
				_, err = things.InsertOne(t.Context(), stored)
				require.NoError(t, err)
				// What FerretDB compares itself: it is asked in a way the proxy does not know.
				want, err := things.CountDocuments(t.Context(), bson.M{"$and": bson.A{bson.M{"_id": key}, filter}})
				require.NoError(t, err)

				filter := append(bson.D{{Key: "_id", Value: key}}, filter...)
				updated, err := things.UpdateOne(t.Context(), filter, bson.M{"$set": bson.M{"changed": true}})
				require.NoError(t, err)
				require.Equal(t, want, updated.MatchedCount)
				n, err := things.CountDocuments(t.Context(), bson.M{"changed": true})
				require.NoError(t, err)
				require.Equal(t, want, n)

				deleted, err := things.DeleteOne(t.Context(), filter)
				require.NoError(t, err)
				require.Equal(t, want, deleted.DeletedCount)
			}
		})
	}
}

func TestAnUpdateOfADocumentThatIsNotThereMakesItOnlyWhenAsked(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	filter, set := bson.M{"_id": "a", "revision": int64(1)}, bson.M{"$set": bson.M{"count": int64(5)}}
	result, err := things.UpdateOne(t.Context(), filter, set)
	require.NoError(t, err)
	require.Zero(t, result.MatchedCount)
	_, err = things.UpdateOne(t.Context(), filter, set, options.UpdateOne().SetUpsert(true))
	require.NoError(t, err)
	var got thing
	require.NoError(t, things.FindOne(t.Context(), bson.M{"_id": "a"}).Decode(&got))
	require.Equal(t, thing{ID: "a", Revision: 1, Count: 5}, got)
}

func TestSeveralStatementsInOneCommandAreDoneAsTheyAre(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	_, err := things.InsertMany(t.Context(), []any{thing{ID: "a"}, thing{ID: "b"}})
	require.NoError(t, err)
	set := bson.M{"$inc": bson.M{"count": 1}}
	result, err := things.BulkWrite(t.Context(), []mongo.WriteModel{
		mongo.NewUpdateOneModel().SetFilter(bson.M{"_id": "a", "revision": int64(0)}).SetUpdate(set),
		mongo.NewUpdateOneModel().SetFilter(bson.M{"_id": "b", "revision": int64(0)}).SetUpdate(set),
		mongo.NewUpdateOneModel().SetFilter(bson.M{"_id": "b", "revision": int64(1)}).SetUpdate(set),
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, result.MatchedCount)
}

// pages are documents whose ids are in every order that matters.
func pages(t *testing.T, s *documents.Server) *mongo.Collection {
	t.Helper()
	things := connect(t, s.URI())
	docs := []any{
		bson.M{"_id": int32(7), "kind": "odd"},
		bson.M{"_id": bson.NewObjectID(), "kind": "odd"},
		bson.M{"_id": "a", "kind": "odd"},
		bson.M{"_id": "b", "kind": "odd"},
		bson.M{"_id": `a/"quoted"\`, "kind": "odd"},
		bson.M{"_id": "a/ü", "kind": "odd"},
		bson.M{"_id": "a/<&>", "kind": "odd"},
		bson.M{"_id": "a/ ", "kind": bson.A{"odd", "even"}},
		bson.M{"_id": "a/!", "kind": int64(5)},
	}
	for i := range 230 { // more than the proxy asks for at once
		docs = append(docs, bson.M{"_id": fmt.Sprintf("a/%d", i), "kind": []string{"even", "odd"}[i%2], "n": i})
	}
	_, err := things.InsertMany(t.Context(), docs)
	require.NoError(t, err)
	return things
}

func ids(t *testing.T, things *mongo.Collection, filter any, o *options.FindOptionsBuilder) []string {
	t.Helper()
	cursor, err := things.Find(t.Context(), filter, o)
	require.NoError(t, err)
	found := []string{}
	for cursor.Next(t.Context()) {
		found = append(found, cursor.Current.Lookup("_id").String())
	}
	require.NoError(t, cursor.Err())
	return found
}

func TestAPageIsWhatFerretDBWouldAnswer(t *testing.T) {
	things := pages(t, start(t, documents.Options{}))
	for name, filter := range map[string]bson.D{
		"a prefix":               {{Key: "_id", Value: bson.M{"$gte": "a/", "$lt": "a0"}}},
		"behind one":             {{Key: "_id", Value: bson.M{"$gt": "a/110", "$lt": "a0"}}},
		"up to one":              {{Key: "_id", Value: bson.M{"$gt": "a", "$lte": "a/2"}}},
		"without an end":         {{Key: "_id", Value: bson.M{"$gte": ""}}},
		"without a beginning":    {{Key: "_id", Value: bson.M{"$lt": "a0"}}},
		"nothing":                {{Key: "_id", Value: bson.M{"$gt": "x", "$lt": "y"}}},
		"a condition":            {{Key: "_id", Value: bson.M{"$gte": "a/", "$lt": "a0"}}, {Key: "kind", Value: "odd"}},
		"a condition of two":     {{Key: "_id", Value: bson.M{"$gte": "a/", "$lt": "a0"}}, {Key: "kind", Value: "odd"}, {Key: "n", Value: 17}},
		"a condition never met":  {{Key: "_id", Value: bson.M{"$gte": "a/", "$lt": "a0"}}, {Key: "kind", Value: "none"}},
		"a condition on no text": {{Key: "_id", Value: bson.M{"$gte": "a/", "$lt": "a0"}}, {Key: "n", Value: bson.M{"$gt": 220}}},
	} {
		for _, limit := range []int64{10, 250} {
			for _, order := range []int{1, -1} {
				t.Run(fmt.Sprintf("%s, %d, %d", name, limit, order), func(t *testing.T) {
					o := options.Find().SetLimit(limit).SetSort(bson.M{"_id": order})
					// What FerretDB finds itself: it is asked in a way the proxy does not know.
					want := ids(t, things, bson.M{"$and": bson.A{filter}}, o)
					require.Equal(t, want, ids(t, things, filter, o))
				})
			}
		}
	}
}

func TestAPageHoldsDocumentsAsTheyAre(t *testing.T) {
	things := connect(t, start(t, documents.Options{}).URI())
	known := bson.D{
		{Key: "text", Value: "a \"b\" \\ <&> ü \u2028 \x01"}, {Key: "empty", Value: ""}, {Key: "int", Value: int32(-5)}, {Key: "long", Value: int64(1) << 62},
		{Key: "yes", Value: true}, {Key: "at", Value: time.UnixMilli(-1234)}, {Key: "bytes", Value: []byte{0, 255, 7}},
		{Key: "other bytes", Value: bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}},
		{Key: "id", Value: bson.NewObjectID()}, {Key: "nothing", Value: nil}, {Key: "none", Value: bson.D{}}, {Key: "no items", Value: bson.A{}},
		{Key: "z", Value: bson.D{{Key: "b", Value: bson.A{int32(1), "x", bson.D{{Key: "c", Value: int64(2)}}}}, {Key: "a", Value: "y"}}},
	}
	_, err := things.InsertMany(t.Context(), []any{
		append(bson.D{{Key: "_id", Value: "known"}}, known...),
		append(bson.D{{Key: "_id", Value: "with a double"}, {Key: "double", Value: 1.5}}, known...), // which only FerretDB reads
	})
	require.NoError(t, err)
	for _, id := range []string{"known", "with a double"} {
		filter := bson.D{{Key: "_id", Value: bson.M{"$gte": id, "$lte": id}}}
		want, err := things.FindOne(t.Context(), bson.M{"$and": bson.A{filter}}).Raw()
		require.NoError(t, err)
		cursor, err := things.Find(t.Context(), filter, options.Find().SetLimit(5))
		require.NoError(t, err)
		var got []bson.Raw
		require.NoError(t, cursor.All(t.Context(), &got))
		require.Equal(t, []bson.Raw{want}, got)
	}
}

func TestAPageHasTheFieldsThatAreAskedFor(t *testing.T) {
	things := pages(t, start(t, documents.Options{}))
	cursor, err := things.Find(t.Context(), bson.M{"_id": bson.M{"$gte": "a/0", "$lte": "a/0"}},
		options.Find().SetLimit(1).SetProjection(bson.M{"n": 1}))
	require.NoError(t, err)
	var got []bson.M
	require.NoError(t, cursor.All(t.Context(), &got))
	require.Equal(t, []bson.M{{"_id": "a/0", "n": int32(0)}}, got)
}

func TestNamedDocumentsAreThoseFerretDBWouldFind(t *testing.T) {
	things := pages(t, start(t, documents.Options{}))
	for name, filter := range map[string]bson.D{
		"some":        {{Key: "_id", Value: bson.M{"$in": bson.A{"a/1", "a/ü", "missing", "a/1", `a/"quoted"\`}}}},
		"none":        {{Key: "_id", Value: bson.M{"$in": bson.A{}}}},
		"other types": {{Key: "_id", Value: bson.M{"$in": bson.A{"a", int32(7)}}}},
		"a condition": {{Key: "_id", Value: bson.M{"$in": bson.A{"a/1", "a/2"}}}, {Key: "kind", Value: "odd"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := ids(t, things, bson.M{"$and": bson.A{filter}}, options.Find())
			require.ElementsMatch(t, want, ids(t, things, filter, options.Find()))
		})
	}
}

func TestAPageOfACollectionThatIsNotThereIsEmpty(t *testing.T) {
	things := connect(t, start(t, documents.Options{}).URI())
	o := options.Find().SetLimit(5)
	require.Empty(t, ids(t, things, bson.M{"_id": bson.M{"$gte": "a"}}, o))
	_, err := things.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)
	require.Len(t, ids(t, things, bson.M{"_id": bson.M{"$gte": "a"}}, o), 1)
	require.NoError(t, things.Database().Drop(t.Context()))
	require.Empty(t, ids(t, things, bson.M{"_id": bson.M{"$gte": "a"}}, o))
	_, err = things.InsertOne(t.Context(), thing{ID: "b"})
	require.NoError(t, err)
	require.Len(t, ids(t, things, bson.M{"_id": bson.M{"$gte": "a"}}, o), 1)
}

func TestAPageIsWholeWhileOthersWrite(t *testing.T) {
	things := connect(t, start(t, documents.Options{}).URI())
	for i := range 20 {
		_, err := things.InsertOne(t.Context(), thing{ID: fmt.Sprintf("kept/%02d", i)})
		require.NoError(t, err)
	}
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for i := range 30 { // between those that are kept
			id := bson.M{"_id": fmt.Sprintf("kept/%02d/x", i%20)}
			if _, err := things.InsertOne(context.Background(), id); err != nil {
				return
			}
			if _, err := things.DeleteOne(context.Background(), id); err != nil {
				return
			}
		}
	}()
	for !done.Load() {
		found := ids(t, things, bson.M{"_id": bson.M{"$gte": "kept/", "$lt": "kept0"}}, options.Find().SetLimit(30))
		require.GreaterOrEqual(t, len(found), 20)
		require.LessOrEqual(t, len(found), 21)
	}
}

func TestMendsWhatAKilledProcessLeftHalfMade(t *testing.T) {
	dir := t.TempDir()
	s, err := documents.Start(t.Context(), documents.Options{Dir: dir})
	require.NoError(t, err)
	_, err = connect(t, s.URI()).InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)
	require.NoError(t, s.Close())

	// The file of a database without anything in it; a table that is not listed; one that has no index.
	empty, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "empty.sqlite"))
	require.NoError(t, err)
	_, err = empty.Exec(`PRAGMA user_version = 1`)
	require.NoError(t, err)
	require.NoError(t, empty.Close())
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "test.sqlite"))
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE "others_9a2b5c37" (_ferretdb_sjson TEXT NOT NULL CHECK(_ferretdb_sjson != '')) STRICT`)
	require.NoError(t, err)
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`)
	require.NoError(t, err)
	var drop []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		drop = append(drop, `DROP INDEX "`+name+`"`)
	}
	require.NoError(t, rows.Close())
	require.Len(t, drop, 3)
	_, err = db.Exec(strings.Join(drop, ";"))
	require.NoError(t, err)
	require.NoError(t, db.Close())

	s = start(t, documents.Options{Dir: dir})
	things := connect(t, s.URI())
	_, err = things.InsertOne(t.Context(), thing{ID: "a"})
	require.True(t, mongo.IsDuplicateKeyError(err), "the id was taken twice: %v", err)
	tables := things.Database().Client().Database("empty").Collection("things")
	_, err = tables.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)
	db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "test.sqlite"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var left int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE name = 'others_9a2b5c37'`).Scan(&left))
	require.Zero(t, left)
}
