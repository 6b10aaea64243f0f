package documents

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// A page has a filter like `{_id: {$gt: "a/", $lt: "a0"}, action: "start"}`, a limit, and no order but that of `_id`; or it
// names its ids, `{_id: {$in: […]}}`. The proxy finds the ids by an index of its own, looks the documents up one by one,
// and answers by itself.

const (
	maxPage      = 1000     // documents of a page that is made so
	maxPageBytes = 16 << 20 // and its bytes
	maxIDs       = 200      // ids that are asked for at once

	// lookUpsAtOnce are sent before the first is answered. They are few enough for any socket to take them at once, so that
	// the server never waits for somebody to read what it answers while the proxy waits for it to read.
	lookUpsAtOnce = 16
	pageWithin    = 30 * time.Second
)

// page is a find that can be answered so.
type page struct {
	collection
	bounds     []bound
	named      []string // the ids, where they are given
	sorted     bool
	conditions []bsoncore.Element // what else has to be equal
	descending bool
	limit      int
	projection bsoncore.Document // nil: all fields
}

// bound is one end of the range.
type bound struct {
	operator string // of SQL
	value    string
}

var bounds = map[string]string{"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

// pageOf reads a request; false: it is no such find.
func pageOf(r request) (page, bool) {
	if r.command != "find" {
		return page{}, false
	}
	c, ok := r.collection()
	if !ok {
		return page{}, false
	}
	find, more, _ := bsoncore.ReadDocument(r.body()[1:])
	elements, err := find.Elements()
	if err != nil || len(more) > 0 {
		return page{}, false
	}
	p := page{collection: c}
	for _, e := range elements {
		if !p.read(e.Key(), e.Value()) {
			return page{}, false
		}
	}
	return p, p.known()
}

// known says whether it is a page of one of the two kinds.
func (p *page) known() bool {
	if p.named != nil {
		return len(p.named) <= maxPage && !p.sorted && p.limit == 0 && len(p.bounds) == 0 && len(p.conditions) == 0
	}
	// Without a lower bound the range would begin with numbers, which are not compared with strings.
	lower := slices.ContainsFunc(p.bounds, func(b bound) bool { return strings.HasPrefix(b.operator, ">") })
	return lower && p.limit > 0 && p.limit <= maxPage
}

// read reads one option of a find; false: one that changes what is found or how, in a way that is not known here.
func (p *page) read(option string, value bsoncore.Value) bool {
	switch option {
	case "find", "$db", "lsid", "$readPreference", "$clusterTime", "maxTimeMS", "singleBatch", "batchSize", "comment":
		return true
	case "limit":
		limit, ok := value.AsInt64OK()
		p.limit = int(limit)
		return ok
	case "projection":
		var ok bool
		p.projection, ok = value.DocumentOK()
		return ok && (len(p.conditions) == 0 || len(p.projection) == 0)
	case "sort":
		return p.readSort(value)
	case "filter":
		return p.readFilter(value)
	default:
		return false
	}
}

func (p *page) readSort(value bsoncore.Value) bool {
	sort, ok := value.DocumentOK()
	if !ok {
		return false
	}
	elements, err := sort.Elements()
	if err != nil || len(elements) != 1 || elements[0].Key() != "_id" {
		return false
	}
	direction, ok := elements[0].Value().AsInt64OK()
	p.sorted = true
	p.descending = direction == -1
	return ok && (direction == 1 || direction == -1)
}

func (p *page) readFilter(value bsoncore.Value) bool {
	filter, ok := value.DocumentOK()
	if !ok {
		return false
	}
	elements, err := filter.Elements()
	if err != nil {
		return false
	}
	for _, e := range elements {
		key, value := e.Key(), e.Value()
		switch {
		case key == "_id" && value.Type == bsoncore.TypeEmbeddedDocument:
			if !p.readRange(value.Document()) {
				return false
			}
		case key != "_id" && plain(key) && value.Type == bsoncore.TypeString:
			p.conditions = append(p.conditions, e)
		default:
			return false
		}
	}
	return len(p.conditions) == 0 || len(p.projection) == 0
}

func (p *page) readRange(operators bsoncore.Document) bool {
	elements, err := operators.Elements()
	if err != nil {
		return false
	}
	for _, e := range elements {
		if e.Key() == "$in" {
			if !p.readNames(e.Value()) {
				return false
			}
			continue
		}
		operator, known := bounds[e.Key()]
		value, text := e.Value().StringValueOK()
		if !known || !text {
			return false
		}
		p.bounds = append(p.bounds, bound{operator: operator, value: value})
	}
	return true
}

func (p *page) readNames(value bsoncore.Value) bool {
	list, ok := value.ArrayOK()
	if !ok {
		return false
	}
	values, err := list.Values()
	if err != nil {
		return false
	}
	p.named = []string{}
	for _, v := range values {
		name, ok := v.StringValueOK()
		if !ok {
			return false
		}
		if !slices.Contains(p.named, name) {
			p.named = append(p.named, name)
		}
	}
	return true
}

// plain says whether a field's name is one word that SQLite's paths and FerretDB's filters take as it is.
func plain(field string) bool {
	for _, c := range field {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return field != ""
}

// find is the answer to the request; nil: FerretDB had better answer. Nobody may write meanwhile.
func (p *page) find(s *session, x *indexes, request int32) (message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pageWithin)
	defer cancel()
	found := batch{limit: p.limit, array: bsoncore.NewArrayBuilder()}
	if p.named != nil {
		found.limit = len(p.named)
		if known, err := p.lookUp(s, request, p.named, &found); err != nil || !known {
			return nil, err
		}
		return p.answer(request, found.array.Build()), nil
	}
	atOnce := min(maxIDs, p.limit)
	for {
		ids, err := p.ids(ctx, x, atOnce)
		if err != nil {
			return nil, err
		}
		if known, err := p.lookUp(s, request, ids, &found); err != nil || !known {
			return nil, err
		}
		if found.documents == found.limit || len(ids) < atOnce {
			return p.answer(request, found.array.Build()), nil
		}
		p.goOnBehind(ids[len(ids)-1])
	}
}

// batch is what has been found so far.
type batch struct {
	limit, documents, bytes int
	array                   *bsoncore.ArrayBuilder
}

// lookUp adds the documents of these ids that are wanted, until there are enough; not known: FerretDB had better answer.
func (p *page) lookUp(s *session, request int32, ids []string, found *batch) (known bool, err error) {
	for some := range slices.Chunk(ids, lookUpsAtOnce) {
		if found.documents == found.limit {
			break
		}
		answers, err := s.exchangeAll(p.lookups(request, some))
		if err != nil {
			return false, err
		}
		for _, answer := range answers {
			if known := p.add(answer, found); !known {
				return false, nil
			}
		}
	}
	return true, nil
}

func (p *page) lookups(request int32, ids []string) []message {
	requests := make([]message, len(ids))
	for i, id := range ids {
		value := bsoncore.Value{Type: bsoncore.TypeString, Data: bsoncore.AppendString(nil, id)}
		requests[i] = p.lookup(request, value, p.projection)
	}
	return requests
}

// add adds the document of an answer, if there is one, it is wanted, and there is room.
func (p *page) add(answer message, found *batch) (known bool) {
	documents, ok := firstBatch(answer)
	if !ok {
		return false
	}
	for _, d := range documents {
		meets, known := p.meets(d)
		if !known {
			return false
		}
		if !meets || found.documents == found.limit {
			continue
		}
		if found.bytes += len(d); found.bytes > maxPageBytes {
			return false
		}
		found.array.AppendDocument(d)
		found.documents++
	}
	return true
}

// meets says whether a document is wanted; not known: it has a list in the field, which may contain the value.
func (p *page) meets(d bsoncore.Document) (meets, known bool) {
	meets = true
	for _, c := range p.conditions {
		value := d.Lookup(c.Key())
		if value.Type == bsoncore.TypeArray {
			return false, false
		}
		meets = meets && value.Type == c.Value().Type && bytes.Equal(value.Data, c.Value().Data)
	}
	return meets, true
}

func (p *page) goOnBehind(id string) {
	operator := ">"
	if p.descending {
		operator = "<"
	}
	p.bounds = append(p.bounds, bound{operator: operator, value: id})
}

// ids are the next ones in the range. Some may be of documents that do not belong here: an ObjectID looks like a string.
func (p *page) ids(ctx context.Context, x *indexes, limit int) ([]string, error) {
	db, table, err := x.table(ctx, p.collection)
	if err != nil || table == "" {
		return nil, err
	}
	var query strings.Builder
	var args []any
	fmt.Fprintf(&query, "SELECT %s FROM %s WHERE typeof(%s) = 'text'", asText, quote(table), asText)
	for _, b := range p.bounds {
		fmt.Fprintf(&query, " AND %s %s ?", asText, b.operator)
		args = append(args, b.value)
	}
	for _, c := range p.conditions {
		fmt.Fprintf(&query, " AND (%[1]s->>'$.%[2]s' = ? OR json_type(%[1]s, '$.%[2]s') = 'array')", column, c.Key())
		args = append(args, c.Value().StringValue())
	}
	fmt.Fprintf(&query, " ORDER BY %s", asText)
	if p.descending {
		query.WriteString(" DESC")
	}
	fmt.Fprintf(&query, " LIMIT %d", limit)
	return names(ctx, db, query.String(), args...)
}

func (p *page) answer(request int32, batch bsoncore.Array) message {
	cursor := bsoncore.NewDocumentBuilder().
		AppendArray("firstBatch", batch).
		AppendInt64("id", 0).
		AppendString("ns", p.database+"."+p.name).
		Build()
	document := bsoncore.NewDocumentBuilder().AppendDocument("cursor", cursor).AppendDouble("ok", 1).Build()
	return newAnswer(request, append([]byte{0}, document...))
}
