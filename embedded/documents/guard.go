package documents

import (
	"encoding/binary"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// A compare-and-set has a filter like `{_id: …, revision: …}`, for which FerretDB reads the whole collection. While it
// holds the turn, the proxy compares in its place: it looks the document up, and hands the command on with the `_id` alone
// or, where the document is another, with one that nobody has. No other write comes between.

// guarded is an update or a removal of one document, found by its `_id` and by more.
type guarded struct {
	collection
	id         bsoncore.Value
	conditions []bsoncore.Element // what else has to be equal

	before    []byte            // what stands before the list in the message
	statement bsoncore.Document // the one with the filter
	list      string            // the name of the list it stands in
}

// operations are the commands that are helped, with the list that holds their statements and whether a statement is one
// that changes one document at most.
var operations = map[string]struct {
	list string
	one  func(statement bsoncore.Document) bool
}{
	"update": {list: "updates", one: func(s bsoncore.Document) bool { return !isTrue(s, "multi") && !isTrue(s, "upsert") }},
	"delete": {list: "deletes", one: func(s bsoncore.Document) bool {
		limit, ok := s.Lookup("limit").AsInt64OK()
		return ok && limit == 1
	}},
}

func isTrue(d bsoncore.Document, key string) bool {
	value, ok := d.Lookup(key).BooleanOK()
	return ok && value
}

// guardOf tells how to help with a request; false: it is no such command, or one that FerretDB had better see as it is.
// It knows messages as drivers write them: the command, then a list of one statement.
func guardOf(r request) (guarded, bool) {
	operation, known := operations[r.command]
	if !known {
		return guarded{}, false
	}
	body := r.body()
	first, rest, ok := bsoncore.ReadDocument(body[1:]) // the first byte is 0, or there would be no command
	if !ok || len(rest) < 1+4 || rest[0] != 1 || int(int32At(rest, 1)) != len(rest)-1 {
		return guarded{}, false
	}
	list, statements, found := strings.Cut(string(rest[1+4:]), "\x00")
	if !found || list != operation.list {
		return guarded{}, false
	}
	statement, more, ok := bsoncore.ReadDocument([]byte(statements))
	if !ok || len(more) > 0 || statement.Validate() != nil || first.Validate() != nil || !operation.one(statement) {
		return guarded{}, false
	}
	g := guarded{before: body[:1+len(first)], list: list, statement: statement}
	if g.collection, ok = r.collection(); !ok {
		return guarded{}, false
	}
	return g, g.readFilter()
}

// readFilter splits the filter into `_id` and the rest; false: it has no such form.
func (g *guarded) readFilter() bool {
	filter, ok := g.statement.Lookup("q").DocumentOK()
	if !ok {
		return false
	}
	elements, err := filter.Elements()
	if err != nil {
		return false
	}
	found := false
	for _, e := range elements {
		key, value := e.Key(), e.Value()
		switch {
		case key == "_id" && !found && (value.Type == bsoncore.TypeString || value.Type == bsoncore.TypeObjectID):
			g.id, found = value, true
		case key != "_id" && !strings.HasPrefix(key, "$") && !strings.Contains(key, ".") && bytesDecide(value):
			g.conditions = append(g.conditions, e)
		default:
			return false
		}
	}
	return found && len(g.conditions) > 0
}

// narrow is the request with `_id` alone for its filter, if the found document meets the conditions, else with one that
// nobody has. False: the answer is none, or FerretDB had better compare by itself.
func (g *guarded) narrow(id int32, found message) (message, bool) {
	documents, ok := firstBatch(found)
	if !ok {
		return nil, false
	}
	meets := len(documents) == 1
	if meets {
		for _, condition := range g.conditions {
			value, wanted := documents[0].Lookup(condition.Key()), condition.Value()
			if value.Type != wanted.Type {
				return nil, false // two numbers of different types may be equal, and a list may contain the value
			}
			meets = meets && value.Equal(wanted)
		}
	}
	return newMessage(id, g.body(meets)), true
}

// body is that of the message with another filter.
func (g *guarded) body(meets bool) []byte {
	filter := bsoncore.NewDocumentBuilder()
	if meets {
		filter.AppendValue("_id", g.id)
	} else {
		filter.AppendObjectID("_id", bson.NewObjectID())
	}
	elements, _ := g.statement.Elements() // it is valid
	statement := bsoncore.NewDocumentBuilder()
	for _, e := range elements {
		if e.Key() == "q" {
			statement.AppendDocument("q", filter.Build())
			continue
		}
		statement.AppendValue(e.Key(), e.Value())
	}
	section := append([]byte(g.list), 0)
	section = append(section, statement.Build()...)
	body := append([]byte{}, g.before...)
	body = append(body, 1)
	body = binary.LittleEndian.AppendUint32(body, uint32(4+len(section)))
	return append(body, section...)
}
