package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// A page has a filter like `{_id: {$gt: "a/", $lt: "a0"}, action: "start"}`, a limit, and no order but that of `_id`; or it
// names its ids, `{_id: {$in: […]}}`. The proxy reads it by an index of its own, and answers by itself.

const (
	maxPage      = 1000     // documents of a page that is made so
	maxPageBytes = 16 << 20 // and its bytes
	pageWithin   = 30 * time.Second
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
	fields     []string // besides `_id`; nil: all
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
		if !p.readOption(e.Key(), e.Value()) {
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

// readOption reads one option of a find; false: one that changes what is found or how, in a way that is not known here.
func (p *page) readOption(option string, value bsoncore.Value) bool {
	switch option {
	case "find", "$db", "lsid", "$readPreference", "$clusterTime", "maxTimeMS", "singleBatch", "batchSize", "comment":
		return true
	case "limit":
		limit, ok := value.AsInt64OK()
		p.limit = int(limit)
		return ok
	case "projection":
		return p.readProjection(value)
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
	return true
}

// readProjection knows those that name what is wanted.
func (p *page) readProjection(value bsoncore.Value) bool {
	projection, ok := value.DocumentOK()
	if !ok {
		return false
	}
	elements, err := projection.Elements()
	if err != nil {
		return false
	}
	for _, e := range elements {
		if wanted, ok := e.Value().AsInt64OK(); !ok || wanted != 1 || !plain(e.Key()) {
			return false
		}
		p.fields = append(p.fields, e.Key())
	}
	return true
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

// find is the answer to the request; nil: FerretDB had better answer.
func (p *page) find(x *indexes, request int32) (message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pageWithin)
	defer cancel()
	array := bsoncore.NewArrayBuilder()
	known, err := p.read(ctx, x, array)
	if err != nil || !known {
		return nil, err
	}
	return p.answer(request, array.Build()), nil
}

// read adds what is found; not known: there is something of which FerretDB knows more.
func (p *page) read(ctx context.Context, x *indexes, found *bsoncore.ArrayBuilder) (known bool, err error) {
	db, table, err := x.table(ctx, p.collection)
	if err != nil || table == "" || p.named != nil && len(p.named) == 0 {
		return err == nil, err
	}
	query, args := p.query(table)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	documents, size := 0, 0
	for (p.named != nil || documents < p.limit) && rows.Next() {
		var stored []byte
		if err := rows.Scan(&stored); err != nil {
			return false, err
		}
		document, err := decode(stored)
		if err != nil {
			return false, nil // it holds what is not known here
		}
		meets, known := p.meets(document)
		if !known {
			return false, nil
		}
		if !meets {
			continue
		}
		document = p.project(document)
		if size += len(document); size > maxPageBytes {
			return false, nil
		}
		found.AppendDocument(document)
		documents++
	}
	return true, rows.Err()
}

// query finds what may be wanted, in order. That is more than what is: an ObjectID looks like a string.
func (p *page) query(table string) (string, []any) {
	var query strings.Builder
	var args []any
	fmt.Fprintf(&query, "SELECT %s FROM %s WHERE ", column, quote(table))
	if p.named != nil {
		fmt.Fprintf(&query, "%s IN (?%s)", asText, strings.Repeat(", ?", len(p.named)-1))
		for _, name := range p.named {
			args = append(args, name)
		}
		return query.String(), args
	}
	fmt.Fprintf(&query, "typeof(%s) = 'text'", asText)
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
	return query.String(), args
}

// project leaves of a document what is asked for.
func (p *page) project(d bsoncore.Document) bsoncore.Document {
	if p.fields == nil {
		return d
	}
	elements, _ := d.Elements() // it has just been made
	projected := bsoncore.NewDocumentBuilder()
	for _, e := range elements {
		if e.Key() == "_id" || slices.Contains(p.fields, e.Key()) {
			projected.AppendValue(e.Key(), e.Value())
		}
	}
	return projected.Build()
}

// meets says whether a document is wanted; not known: it has a list in the field, which may contain the value.
func (p *page) meets(d bsoncore.Document) (meets, known bool) {
	meets = d.Lookup("_id").Type == bsoncore.TypeString
	for _, c := range p.conditions {
		value := d.Lookup(c.Key())
		if value.Type == bsoncore.TypeArray {
			return false, false
		}
		meets = meets && value.Type == c.Value().Type && bytes.Equal(value.Data, c.Value().Data)
	}
	return meets, true
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
