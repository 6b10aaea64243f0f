package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/konstellation-io/kre/kit/fault"
)

// explain returns what is wrong with a request that could not be read: each parameter and each field of the body by its
// name. It is asked when reading has failed, and may find nothing.
func (b binding) explain(query map[string][]string, body []byte) []fault.Field {
	var wrong complaints
	for _, name := range slices.Sorted(maps.Keys(query)) {
		field := b.parameter(name)
		if field == nil {
			continue // parameters has told
		}
		for _, text := range query[name] {
			wrong.parameter(field, name, text)
		}
	}
	if b.body == "" || len(bytes.TrimSpace(body)) == 0 {
		return wrong
	}
	value, err := parse(body)
	if err != nil {
		return append(wrong, fault.Field{Path: "body", Message: err.Error()})
	}
	message := b.input
	if b.body != "*" {
		message = b.input.Fields().ByName(protoreflect.Name(b.body)).Message()
	}
	wrong.message(message, value, "")
	return wrong
}

// parse reads one JSON value, and tells a person where that fails.
func parse(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("it is no JSON: %s, at byte %d", syntax.Error(), syntax.Offset)
	case err != nil:
		return nil, errors.New("it is no JSON: it ends too early")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("it is no JSON: something follows after its end, at byte %d", decoder.InputOffset())
	}
	return value, nil
}

// complaints are what is wrong.
type complaints []fault.Field

func (c *complaints) add(path, format string, args ...any) {
	if path == "" {
		path = "body"
	}
	*c = append(*c, fault.Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

// parameter looks at the text of a query's parameter.
func (c *complaints) parameter(field protoreflect.FieldDescriptor, name, text string) {
	var value any = text
	switch {
	case field.Kind() == protoreflect.BoolKind:
		if _, err := strconv.ParseBool(text); err != nil {
			c.add(name, "it is %q; want true or false", text)
		}
		return
	case field.Message() != nil && field.Message().FullName() == "google.protobuf.FieldMask":
		return // any text names fields; whether they are there, the call says
	}
	c.value(field, value, name)
}

func (c *complaints) message(message protoreflect.MessageDescriptor, value any, path string) {
	if strings.HasPrefix(string(message.FullName()), "google.protobuf.") {
		c.wellKnown(message, value, path)
		return
	}
	fields, ok := value.(map[string]any)
	if !ok {
		c.add(path, "it is %s; want an object", kindOf(value))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, inner := fieldOf(message, name), join(path, name)
		switch {
		case field == nil:
			c.add(inner, "there is no such field%s", thereAre(names(message)))
		case fields[name] == nil: // null is what an absent field is
		case field.IsMap():
			c.entries(field, fields[name], inner)
		case field.IsList():
			c.items(field, fields[name], inner)
		default:
			c.value(field, fields[name], inner)
		}
	}
}

func (c *complaints) entries(field protoreflect.FieldDescriptor, value any, path string) {
	entries, ok := value.(map[string]any)
	if !ok {
		c.add(path, "it is %s; want an object", kindOf(value))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		c.value(field.MapValue(), entries[key], join(path, key))
	}
}

func (c *complaints) items(field protoreflect.FieldDescriptor, value any, path string) {
	items, ok := value.([]any)
	if !ok {
		c.add(path, "it is %s; want a list", kindOf(value))
		return
	}
	for i, item := range items {
		c.value(field, item, fmt.Sprintf("%s[%d]", path, i))
	}
}

// value looks at a value that is neither a list nor a map.
func (c *complaints) value(field protoreflect.FieldDescriptor, value any, path string) {
	text, isText := value.(string)
	switch field.Kind() {
	case protoreflect.MessageKind:
		c.message(field.Message(), value, path)
	case protoreflect.BoolKind:
		if _, ok := value.(bool); !ok {
			c.add(path, "it is %s; want true or false", kindOf(value))
		}
	case protoreflect.StringKind:
		if !isText {
			c.add(path, "it is %s; want a text in quotes", kindOf(value))
		}
	case protoreflect.BytesKind:
		if !isText || !isBase64(text) {
			c.add(path, "it is %s; want bytes as base64", kindOf(value))
		}
	case protoreflect.EnumKind:
		if number, ok := value.(json.Number); ok && isWhole(number.String(), 32) {
			return
		}
		if !isText || field.Enum().Values().ByName(protoreflect.Name(text)) == nil {
			c.add(path, "it is %s; want one of %s", kindOf(value), strings.Join(values(field.Enum()), ", "))
		}
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		bits := 64
		if field.Kind() == protoreflect.Int32Kind {
			bits = 32
		}
		if number, ok := value.(json.Number); ok {
			text, isText = number.String(), true
		}
		if !isText || !isWhole(text, bits) {
			c.add(path, "it is %s; want a whole number of at most %d bits", kindOf(value), bits)
		}
	}
}

// wellKnown looks at a value of a type of google.protobuf, each of which has a form of its own in JSON.
func (c *complaints) wellKnown(message protoreflect.MessageDescriptor, value any, path string) {
	known, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName())
	if err != nil {
		return
	}
	text, err := json.Marshal(value)
	if err != nil || protojson.Unmarshal(text, known.New().Interface()) == nil {
		return
	}
	switch message.Name() {
	case "Timestamp":
		c.add(path, "it is %s; want a time such as \"2026-01-31T10:00:00Z\"", kindOf(value))
	case "Duration":
		c.add(path, "it is %s; want a duration in seconds such as \"1.5s\"", kindOf(value))
	case "Struct":
		c.add(path, "it is %s; want an object", kindOf(value))
	default:
		c.add(path, "it is %s, which cannot be read", kindOf(value))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func names(message protoreflect.MessageDescriptor) []string {
	var all []string
	for i := range message.Fields().Len() {
		all = append(all, message.Fields().Get(i).JSONName())
	}
	return all
}

func values(enum protoreflect.EnumDescriptor) []string {
	var all []string
	for i := range enum.Values().Len() {
		all = append(all, string(enum.Values().Get(i).Name()))
	}
	return all
}

// kindOf says what a value is, without telling a long one whole: it may be a secret in the wrong place.
func kindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(value)
	case json.Number:
		return "the number " + value.String()
	case string:
		if len(value) > 40 {
			return "a text"
		}
		return fmt.Sprintf("the text %q", value)
	case []any:
		return "a list"
	}
	return "an object"
}

func isWhole(text string, bits int) bool {
	if _, err := strconv.ParseInt(text, 10, bits); err == nil {
		return true
	}
	// As protobuf has it, 1.0 and 1e2 are whole.
	number, err := strconv.ParseFloat(text, 64)
	limit := math.Ldexp(1, bits-1)
	return err == nil && number == float64(int64(number)) && number >= -limit && number < limit
}

func isBase64(text string) bool {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	_, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil
}
