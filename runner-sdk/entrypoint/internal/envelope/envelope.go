// Package envelope writes and reads the body of messages, a serialized google.protobuf.Any, around payloads that stay
// bytes: a request is copied once and an answer not at all.
package envelope

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	urlPrefix = "type.googleapis.com/"

	fieldTypeURL = 1
	fieldValue   = 2
)

// Type is a message type whose values can be wrapped.
type Type struct {
	head []byte // the type URL as a field, and the tag of the value
}

// NewType returns the type of that name.
func NewType(name protoreflect.FullName) Type {
	var head []byte
	head = protowire.AppendTag(head, fieldTypeURL, protowire.BytesType)
	head = protowire.AppendString(head, urlPrefix+string(name))
	head = protowire.AppendTag(head, fieldValue, protowire.BytesType)
	return Type{head: head}
}

// Wrap returns the body that holds a payload of size bytes, and the place in it that the caller has to fill with the
// payload.
func (t Type) Wrap(size int) (body, payload []byte) {
	length := protowire.SizeVarint(uint64(size))
	body = make([]byte, 0, len(t.head)+length+size)
	body = append(body, t.head...)
	body = protowire.AppendVarint(body, uint64(size))
	start := len(body)
	body = body[:start+size]
	return body, body[start:]
}

// Open returns the name of the type that body holds and its payload, which is a part of body.
func Open(body []byte) (name protoreflect.FullName, payload []byte, err error) {
	var url string
	for rest := body; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return "", nil, fmt.Errorf("not a google.protobuf.Any: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
		if kind == protowire.BytesType && (number == fieldTypeURL || number == fieldValue) {
			var value []byte
			value, n = protowire.ConsumeBytes(rest)
			switch {
			case n < 0:
			case number == fieldTypeURL:
				url = string(value)
			default:
				payload = value
			}
		} else {
			n = protowire.ConsumeFieldValue(number, kind, rest)
		}
		if n < 0 {
			return "", nil, fmt.Errorf("not a google.protobuf.Any: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
	}
	name = protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:])
	if name == "" {
		return "", nil, errors.New("a google.protobuf.Any without a type")
	}
	return name, payload, nil
}
