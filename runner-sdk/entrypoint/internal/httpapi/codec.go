package httpapi

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// The names of codecs are what follows `application/` in a content-type.
const (
	codecProto    = "proto"
	codecJSON     = "json"
	codecJSONUTF8 = "json; charset=utf-8"
)

// message is a payload on its way: a request, already wrapped, or an answer, already encoded.
type message struct {
	body    []byte // of a request: a serialized google.protobuf.Any
	json    bool   // the request came as JSON
	err     error  // why it does not fit the rpc's input type
	encoded []byte // of an answer
}

// codec converts requests while they are in connect's buffer. What is wrong with one is kept for the handler, which has
// better words for it.
type codec struct {
	name    string
	convert converter
}

func (c codec) Name() string { return c.name }

func (c codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("reading a %T is not foreseen", v)
	}
	if m.json = c.name != codecProto; m.json {
		m.body, m.err = c.convert.fromJSON(data)
	} else {
		m.body, m.err = c.convert.fromProto(data)
	}
	return nil
}

func (c codec) Marshal(v any) ([]byte, error) {
	switch m := v.(type) {
	case *message:
		return m.encoded, nil
	case proto.Message: // the status of an error, in gRPC and gRPC-Web
		return proto.Marshal(m)
	}
	return nil, fmt.Errorf("writing a %T is not foreseen", v)
}
