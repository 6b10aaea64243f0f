package documents

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// FerretDB looks a document up only where the filter is `_id` alone. For any other one it reads and decodes the whole
// collection, at about a tenth of a millisecond a document. So the proxy turns what engines ask again and again into
// look-ups: see guard.go and pages.go. Whatever it does not know goes to FerretDB as it is.

// collection is where a command works.
type collection struct {
	database, name string
}

// lookup is the request for one document by `_id`.
func (c collection) lookup(id int32, document bsoncore.Value) message {
	find := bsoncore.NewDocumentBuilder().
		AppendString("find", c.name).
		AppendDocument("filter", bsoncore.NewDocumentBuilder().AppendValue("_id", document).Build()).
		AppendInt32("limit", 1).
		AppendBoolean("singleBatch", true).
		AppendString("$db", c.database).
		Build()
	return newMessage(id, append([]byte{0}, find...))
}

// firstBatch is what an answer to a find holds; false: it is another answer.
func firstBatch(answer message) ([]bsoncore.Document, bool) {
	if len(answer) <= headerSize+flagsSize+1 {
		return nil, false
	}
	document, _, ok := bsoncore.ReadDocument(answer.body()[1:])
	if !ok {
		return nil, false
	}
	batch, ok := document.Lookup("cursor", "firstBatch").ArrayOK()
	if !ok {
		return nil, false
	}
	values, err := batch.Values()
	if err != nil {
		return nil, false
	}
	documents := make([]bsoncore.Document, len(values))
	for i, value := range values {
		if documents[i], ok = value.DocumentOK(); !ok {
			return nil, false
		}
	}
	return documents, true
}

// bytesDecide says whether two values of that type are equal exactly where their bytes are.
func bytesDecide(v bsoncore.Value) bool {
	switch v.Type {
	case bsoncore.TypeString, bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeBoolean, bsoncore.TypeObjectID:
		return true
	default:
		return false
	}
}
