package grpcapi

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/envelope"
)

// codec leaves the payloads of the version's rpcs as the bytes that they are, and lets everything else (health,
// reflection) be protobuf.
type codec struct{}

// request is where a payload is received: wrapped at once, so that it is copied once.
type request struct {
	envelope envelope.Type
	body     []byte // a serialized google.protobuf.Any
	payload  []byte // the part of it that is the request
}

// answer is a payload that is sent.
type answer struct{ payload []byte }

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch message := v.(type) {
	case answer:
		return mem.BufferSlice{mem.SliceBuffer(message.payload)}, nil
	case proto.Message:
		b, err := proto.Marshal(message)
		if err != nil {
			return nil, fmt.Errorf("serializing %T: %w", v, err)
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("%T is no message", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch message := v.(type) {
	case *request:
		message.body, message.payload = message.envelope.Wrap(data.Len())
		data.CopyTo(message.payload)
		return nil
	case proto.Message:
		if err := proto.Unmarshal(data.Materialize(), message); err != nil {
			return fmt.Errorf("reading %T: %w", v, err)
		}
		return nil
	}
	return fmt.Errorf("%T is no message", v)
}
