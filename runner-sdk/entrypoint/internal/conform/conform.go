// Package conform says whether bytes are a message of a type, without building the message: as strict as
// proto.Unmarshal, at a fraction of its time and without allocations.
package conform

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Checker checks payloads of one type. It is safe for concurrent use.
type Checker struct {
	name    protoreflect.FullName
	root    *message
	decoded protoreflect.MessageDescriptor // set where only decoding tells
}

// message is what a type's bytes are checked against.
type message struct {
	low  [32]*field // by number, for the small ones
	high map[protowire.Number]*field
}

// field is a field whose bytes matter. One that comes with another wire type than its own is an unknown field.
type field struct {
	wire   protowire.Type
	packed bool     // may also come packed
	text   bool     // has to be UTF-8
	child  *message // what it holds, for messages and entries of maps
}

// New returns the checker of a type.
func New(descriptor protoreflect.MessageDescriptor) *Checker {
	c := &Checker{name: descriptor.FullName()}
	b := builder{done: map[protoreflect.FullName]*message{}}
	c.root = b.message(descriptor)
	if b.undecidable {
		c.decoded = descriptor
	}
	return c
}

// builder turns descriptors into messages, each once: types may contain themselves.
type builder struct {
	done        map[protoreflect.FullName]*message
	undecidable bool // required fields and extensions cannot be judged field by field
}

func (b *builder) message(descriptor protoreflect.MessageDescriptor) *message {
	if m := b.done[descriptor.FullName()]; m != nil {
		return m
	}
	m := &message{high: map[protowire.Number]*field{}}
	b.done[descriptor.FullName()] = m
	if descriptor.RequiredNumbers().Len() > 0 || descriptor.ExtensionRanges().Len() > 0 {
		b.undecidable = true
	}
	for i := range descriptor.Fields().Len() {
		fd := descriptor.Fields().Get(i)
		if number := fd.Number(); int(number) < len(m.low) {
			m.low[number] = b.field(fd)
		} else {
			m.high[number] = b.field(fd)
		}
	}
	return m
}

func (b *builder) field(fd protoreflect.FieldDescriptor) *field {
	f := &field{packed: fd.IsList()}
	switch fd.Kind() {
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Sint32Kind,
		protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Uint64Kind:
		f.wire = protowire.VarintType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		f.wire = protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		f.wire = protowire.Fixed64Type
	case protoreflect.StringKind:
		f.wire, f.packed, f.text = protowire.BytesType, false, enforcesUTF8(fd)
	case protoreflect.BytesKind:
		f.wire, f.packed = protowire.BytesType, false
	case protoreflect.MessageKind:
		f.wire, f.packed, f.child = protowire.BytesType, false, b.message(fd.Message())
	case protoreflect.GroupKind:
		f.wire, f.packed, f.child = protowire.StartGroupType, false, b.message(fd.Message())
	}
	return f
}

// enforcesUTF8 asks as the protobuf module does: editions decide by field, earlier files by syntax.
func enforcesUTF8(fd protoreflect.FieldDescriptor) bool {
	if asked, ok := fd.(interface{ EnforceUTF8() bool }); ok {
		return asked.EnforceUTF8()
	}
	return fd.Syntax() == protoreflect.Proto3
}

// Decode returns the message that payload is. A nil resolver of extensions knows none but those linked in. Hostile bytes
// can make the protobuf module panic over a descriptor that was not generated (an entry of a map whose key comes a
// second time with another wire type): that is an error here.
func Decode(payload []byte, descriptor protoreflect.MessageDescriptor, resolver Resolver) (m proto.Message, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			m, err = nil, fmt.Errorf("the bytes cannot be decoded: %v", cause)
		}
	}()
	options := proto.UnmarshalOptions{}
	if resolver != nil {
		options.Resolver = resolver
	}
	decoded := dynamicpb.NewMessage(descriptor)
	if err := options.Unmarshal(payload, decoded); err != nil {
		return nil, err
	}
	return decoded, nil
}

// Resolver finds extensions.
type Resolver interface {
	FindExtensionByName(field protoreflect.FullName) (protoreflect.ExtensionType, error)
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error)
}

// Check returns an error that names the type when payload is not a message of it.
func (c *Checker) Check(payload []byte) error {
	var err error
	if c.decoded != nil {
		_, err = Decode(payload, c.decoded, nil)
	} else {
		err = c.root.check(payload, protowire.DefaultRecursionLimit)
	}
	if err != nil {
		return fmt.Errorf("the bytes are not a %s: %w", c.name, err)
	}
	return nil
}

var (
	errUTF8   = errors.New("a string is not UTF-8")
	errDepth  = errors.New("messages are nested too deep")
	errNumber = errors.New("a field has an impossible number")
)

func (m *message) check(b []byte, depth int) error {
	if depth == 0 {
		return errDepth
	}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if number > protowire.MaxValidNumber {
			return errNumber
		}
		b = b[n:]
		n, err := m.field(number).check(number, wire, b, depth)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (m *message) field(number protowire.Number) *field {
	if int(number) < len(m.low) {
		return m.low[number]
	}
	return m.high[number]
}

// check returns the length of the value that b begins with. A nil field is an unknown one.
func (f *field) check(number protowire.Number, wire protowire.Type, b []byte, depth int) (int, error) {
	switch {
	case f != nil && wire == f.wire && f.child != nil:
		return f.checkChild(number, b, depth)
	case f != nil && wire == f.wire && f.text:
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		if !utf8.Valid(value) {
			return 0, errUTF8
		}
		return n, nil
	case f != nil && wire == protowire.BytesType && f.packed:
		values, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		return n, f.checkPacked(values)
	}
	n := protowire.ConsumeFieldValue(number, wire, b)
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	return n, nil
}

func (f *field) checkChild(number protowire.Number, b []byte, depth int) (int, error) {
	var value []byte
	var n int
	if f.wire == protowire.StartGroupType {
		value, n = protowire.ConsumeGroup(number, b)
	} else {
		value, n = protowire.ConsumeBytes(b)
	}
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	return n, f.child.check(value, depth-1)
}

func (f *field) checkPacked(values []byte) error {
	switch f.wire {
	case protowire.Fixed32Type:
		return whole(len(values), 4)
	case protowire.Fixed64Type:
		return whole(len(values), 8)
	}
	for len(values) > 0 {
		_, n := protowire.ConsumeVarint(values)
		if n < 0 {
			return protowire.ParseError(n)
		}
		values = values[n:]
	}
	return nil
}

func whole(length, size int) error {
	if length%size != 0 {
		return protowire.ParseError(-1)
	}
	return nil
}
