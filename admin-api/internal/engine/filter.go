package engine

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
)

// condition is one term of a filter: a field that has a value, or begins with one.
type condition struct {
	value  string
	prefix bool
}

func (c condition) holds(value string) bool {
	if c.prefix {
		return strings.HasPrefix(value, c.value)
	}
	return value == c.value
}

// filter is conditions by field, all of which have to hold.
type filter map[string]condition

var term = regexp.MustCompile(`^\s*([A-Za-z_.]+)\s*(!=|=|:|<=|>=|<|>)\s*("(?:[^"\\]|\\.)*"|[^\s"]+)\s*$`)

var and = regexp.MustCompile(`\s+AND\s+`)

// kind is what the values of a field are.
type kind int

const (
	text    kind = iota // compared as a whole
	pattern             // the same, or a prefix where it ends in *
	truth               // true or false
)

// parseFilter reads terms joined by AND over the known fields.
func parseFilter(given string, known map[string]kind) (filter, error) {
	parsed := make(filter)
	if strings.TrimSpace(given) == "" {
		return parsed, nil
	}
	var fields []string
	for _, name := range []string{"name", "running", "published", "digest", "version", "action"} {
		if _, ok := known[name]; ok {
			fields = append(fields, name)
		}
	}
	wrong := func(field, format string, args ...any) error {
		message := fmt.Sprintf(format, args...)
		refusal := fault.New(fault.Invalid, "filter: %s", message).For(ReasonInvalidFilter, "field", field)
		refusal.Fields = []fault.Field{{Path: "filter", Message: message}}
		return refusal
	}
	for _, one := range and.Split(given, -1) {
		match := term.FindStringSubmatch(one)
		if match == nil {
			return nil, wrong("", "%q cannot be read; want terms such as %s = \"value\", joined by AND", strings.TrimSpace(one), fields[0])
		}
		name, operator, value := match[1], match[2], match[3]
		k, ok := known[name]
		if !ok {
			return nil, wrong(name, "there is no field %q here; there are %s", name, strings.Join(fields, ", "))
		}
		if operator != "=" {
			return nil, wrong(name, "%s %s: only = is understood", name, operator)
		}
		if _, twice := parsed[name]; twice {
			return nil, wrong(name, "%s occurs twice", name)
		}
		if strings.HasPrefix(value, `"`) {
			value = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1 : len(value)-1])
		}
		c := condition{value: value}
		switch k {
		case truth:
			if value != "true" && value != "false" {
				return nil, wrong(name, "%s = %s: want true or false", name, value)
			}
		case pattern:
			c.value, c.prefix = strings.CutSuffix(value, "*")
		}
		parsed[name] = c
	}
	return parsed, nil
}
