package documents

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// How FerretDB 1.24 keeps a document: as JSON, beside whose fields one named $s tells their order and their types.

type schema struct {
	Keys       []string             `json:"$k"`
	Properties map[string]fieldType `json:"p"`
}

type fieldType struct {
	Type    string      `json:"t"`
	Schema  schema      `json:"$s"` // of an object
	Items   []fieldType `json:"i"`  // of an array
	Subtype byte        `json:"s"`  // of binData
}

// errUnknown is a document with a type that is not known here.
var errUnknown = errors.New("a type that is not known")

// decode is the document that FerretDB would make of what it has stored.
func decode(stored []byte) (bsoncore.Document, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(stored, &fields); err != nil {
		return nil, err
	}
	var s schema
	if err := json.Unmarshal(fields["$s"], &s); err != nil {
		return nil, err
	}
	return decodeFields(fields, s)
}

func decodeFields(fields map[string]json.RawMessage, s schema) (bsoncore.Document, error) {
	document := bsoncore.NewDocumentBuilder()
	for _, key := range s.Keys {
		value, err := decodeValue(fields[key], s.Properties[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		document.AppendValue(key, value)
	}
	return document.Build(), nil
}

func decodeArray(stored json.RawMessage, items []fieldType) (bsoncore.Array, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(stored, &values); err != nil {
		return nil, err
	}
	if len(values) != len(items) {
		return nil, errUnknown
	}
	array := bsoncore.NewArrayBuilder()
	for i, stored := range values {
		value, err := decodeValue(stored, items[i])
		if err != nil {
			return nil, err
		}
		array.AppendValue(value)
	}
	return array.Build(), nil
}

func decodeValue(stored json.RawMessage, t fieldType) (bsoncore.Value, error) {
	value := func(kind bsoncore.Type, data []byte, err error) (bsoncore.Value, error) {
		return bsoncore.Value{Type: kind, Data: data}, err
	}
	switch t.Type {
	case "object":
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(stored, &fields); err != nil {
			return bsoncore.Value{}, err
		}
		document, err := decodeFields(fields, t.Schema)
		return value(bsoncore.TypeEmbeddedDocument, document, err)
	case "array":
		array, err := decodeArray(stored, t.Items)
		return value(bsoncore.TypeArray, array, err)
	case "string":
		s, err := scalar[string](stored)
		return value(bsoncore.TypeString, bsoncore.AppendString(nil, s), err)
	case "bool":
		b, err := scalar[bool](stored)
		return value(bsoncore.TypeBoolean, bsoncore.AppendBoolean(nil, b), err)
	case "int":
		n, err := strconv.ParseInt(string(stored), 10, 32)
		return value(bsoncore.TypeInt32, bsoncore.AppendInt32(nil, int32(n)), err)
	case "long":
		n, err := strconv.ParseInt(string(stored), 10, 64)
		return value(bsoncore.TypeInt64, bsoncore.AppendInt64(nil, n), err)
	case "date":
		n, err := strconv.ParseInt(string(stored), 10, 64)
		return value(bsoncore.TypeDateTime, bsoncore.AppendTime(nil, time.UnixMilli(n)), err)
	case "binData":
		b, err := scalar[[]byte](stored)
		return value(bsoncore.TypeBinary, bsoncore.AppendBinary(nil, t.Subtype, b), err)
	case "objectId":
		text, err := scalar[string](stored)
		if err != nil {
			return bsoncore.Value{}, err
		}
		var id bson.ObjectID
		if n, err := hex.Decode(id[:], []byte(text)); err != nil || n != len(id) {
			return bsoncore.Value{}, errUnknown
		}
		return value(bsoncore.TypeObjectID, bsoncore.AppendObjectID(nil, id), nil)
	case "null":
		return value(bsoncore.TypeNull, nil, nil)
	default:
		return bsoncore.Value{}, errUnknown
	}
}

func scalar[T any](stored json.RawMessage) (T, error) {
	var value T
	err := json.Unmarshal(stored, &value)
	return value, err
}
