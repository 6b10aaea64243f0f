package call

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDepth is how deep messages within messages are shown in an example.
const maxDepth = 3

// example returns a request of a type, as JSON on one line: every field has a value, of a oneof the first.
func example(message protoreflect.MessageDescriptor) string { return exampleMessage(message, maxDepth) }

// wellKnown returns what types with a JSON form of their own look like.
func wellKnown(name protoreflect.FullName) (string, bool) {
	text, found := map[protoreflect.FullName]string{
		"google.protobuf.Timestamp":   `"2026-01-31T12:00:00Z"`,
		"google.protobuf.Duration":    `"1.5s"`,
		"google.protobuf.FieldMask":   `"field"`,
		"google.protobuf.Struct":      `{"key":"value"}`,
		"google.protobuf.Value":       `"value"`,
		"google.protobuf.ListValue":   `["value"]`,
		"google.protobuf.Any":         `{}`,
		"google.protobuf.BoolValue":   "true",
		"google.protobuf.StringValue": `"text"`,
		"google.protobuf.BytesValue":  `"Ynl0ZXM="`,
		"google.protobuf.DoubleValue": "1.5",
		"google.protobuf.FloatValue":  "1.5",
		"google.protobuf.Int32Value":  "1",
		"google.protobuf.UInt32Value": "1",
		"google.protobuf.Int64Value":  `"1"`,
		"google.protobuf.UInt64Value": `"1"`,
	}[name]
	return text, found
}

func exampleMessage(message protoreflect.MessageDescriptor, depth int) string {
	if text, found := wellKnown(message.FullName()); found {
		return text
	}
	var members []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		oneof := field.ContainingOneof()
		if oneof != nil && !oneof.IsSynthetic() && oneof.Fields().Get(0) != field {
			continue
		}
		if isNested(field) && depth == 0 {
			continue
		}
		members = append(members, fmt.Sprintf("%q:%s", field.TextName(), exampleField(field, depth)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// isNested reports whether the example of a field would hold the example of a message.
func isNested(field protoreflect.FieldDescriptor) bool {
	if field.IsMap() {
		field = field.MapValue()
	}
	if field.Message() == nil {
		return false
	}
	_, short := wellKnown(field.Message().FullName())
	return !short
}

func exampleField(field protoreflect.FieldDescriptor, depth int) string {
	switch {
	case field.IsMap():
		key := strings.Trim(exampleValue(field.MapKey(), depth), `"`)
		return fmt.Sprintf("{%q:%s}", key, exampleValue(field.MapValue(), depth))
	case field.IsList():
		return "[" + exampleValue(field, depth) + "]"
	default:
		return exampleValue(field, depth)
	}
}

func exampleValue(field protoreflect.FieldDescriptor, depth int) string {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return exampleMessage(field.Message(), depth-1)
	case protoreflect.EnumKind:
		if field.Enum().FullName() == "google.protobuf.NullValue" {
			return "null"
		}
		values := field.Enum().Values()
		return fmt.Sprintf("%q", values.Get(min(1, values.Len()-1)).Name()) // the first one often means "unknown"
	case protoreflect.BoolKind:
		return "true"
	case protoreflect.StringKind:
		return `"text"`
	case protoreflect.BytesKind:
		return `"Ynl0ZXM="`
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "1.5"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return `"1"`
	default:
		return "1"
	}
}
