package rpc

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/nesting"
)

// What parts of a message take in memory, about: a message of two bytes becomes a hundred.
const (
	messageCost = 64
	fieldCost   = 16 // of each field that a message could have, in each message
	textCost    = 32 // of a text or bytes, beside what is in them
	numberCost  = 16
	packedCost  = 8 // of each byte of packed numbers
	entryCost   = 96
	// countedFields bounds the fields of a message that are counted.
	countedFields = 32
)

// weigh tells how much memory a message takes once it is read, without reading it; beyond most, only that it is more. It
// returns a fault where the message is nested too deeply, or none.
func weigh(data []byte, of protoreflect.MessageDescriptor, most int64) (int64, error) {
	scales := &scales{most: most}
	err := scales.message(data, of, 1)
	return scales.cost, err
}

// scales add up what a message takes.
type scales struct{ cost, most int64 }

func (s *scales) message(data []byte, of protoreflect.MessageDescriptor, depth int) error {
	if depth > nesting.Limit {
		return fault.New(fault.Invalid, "the message is nested more than %d deep; at most %d", nesting.Limit, nesting.Limit)
	}
	fields := of.Fields()
	s.cost += int64(messageCost + fieldCost*min(fields.Len(), countedFields))
	for len(data) > 0 && s.cost <= s.most {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return noMessage(of)
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return noMessage(of)
		}
		value := data[:n]
		data = data[n:]
		field := fields.ByNumber(number)
		if field == nil || kind != protowire.BytesType {
			s.cost += numberCost
			if field == nil || kind == protowire.StartGroupType {
				s.cost += 2 * int64(n) // it is kept as it is
			}
			continue
		}
		value, _ = protowire.ConsumeBytes(value)
		if err := s.field(value, field, depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *scales) field(value []byte, field protoreflect.FieldDescriptor, depth int) error {
	switch {
	case field.Message() != nil:
		if field.IsMap() {
			s.cost += entryCost
		}
		return s.message(value, field.Message(), depth+levels(field.Message()))
	case field.Kind() == protoreflect.StringKind, field.Kind() == protoreflect.BytesKind:
		s.cost += textCost + int64(len(value))
	default:
		s.cost += packedCost * int64(len(value))
	}
	return nil
}

// levels is how many a message is deeper than what holds it. Depth is counted as in JSON, where a google.protobuf.Value and the
// entry of a map are not levels of their own.
func levels(message protoreflect.MessageDescriptor) int {
	if message.IsMapEntry() || message.FullName() == "google.protobuf.Value" {
		return 0
	}
	return 1
}

func noMessage(of protoreflect.MessageDescriptor) error {
	return fault.New(fault.Invalid, "the message is no %s", of.FullName())
}
