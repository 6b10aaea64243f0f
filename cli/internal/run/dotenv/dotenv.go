// Package dotenv reads .env files: KEY=VALUE, one a line, with comments, quotes and an optional `export`. Nothing is
// expanded: a value is what is written.
package dotenv

import (
	"fmt"
	"regexp"
	"strings"
)

var keyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Error is a line that cannot be read.
type Error struct {
	Line    int // from 1
	Message string
}

// Error is line and message.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// Parse reads a file. Of a key that is set twice the last value counts. Values may be in single quotes, taken as they
// are, or in double quotes, where \n, \r, \t, \", \\ and \$ are escapes; both may go over several lines. A value without
// quotes ends with its line or before a # that follows a space. The error is an *Error.
func Parse(content string) (map[string]string, error) {
	values := make(map[string]string)
	content = strings.TrimPrefix(content, "\uFEFF")
	r := reader{rest: strings.ReplaceAll(content, "\r\n", "\n"), line: 1}
	for r.rest != "" {
		key, value, err := r.entry()
		if err != nil {
			return nil, err
		}
		if key != "" {
			values[key] = value
		}
	}
	return values, nil
}

// reader is what of a file is still to be read.
type reader struct {
	rest string
	line int
}

func (r *reader) fail(format string, args ...any) error {
	return &Error{Line: r.line, Message: fmt.Sprintf(format, args...)}
}

// restOfLine takes the rest up to and without the next end of a line.
func (r *reader) restOfLine() string {
	text, rest, _ := strings.Cut(r.rest, "\n")
	r.rest = rest
	return text
}

// entry reads one line, or more where quotes go on; the key of an empty one is empty.
func (r *reader) entry() (key, value string, err error) {
	r.rest = strings.TrimLeft(r.rest, " \t")
	if r.rest == "" || r.rest[0] == '\n' || r.rest[0] == '#' {
		r.restOfLine()
		r.line++
		return "", "", nil
	}
	line, _, _ := strings.Cut(r.rest, "\n")
	name, _, found := strings.Cut(line, "=")
	if !found {
		return "", "", r.fail("%q is no KEY=VALUE", strings.TrimSpace(line))
	}
	key = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
	if !keyPattern.MatchString(key) {
		return "", "", r.fail("%q is no name of a variable (letters, digits and _)", key)
	}
	r.rest = strings.TrimLeft(r.rest[len(name)+1:], " \t")
	if r.rest != "" && (r.rest[0] == '\'' || r.rest[0] == '"') {
		value, err = r.quoted(key, r.rest[0])
		return key, value, err
	}
	value = r.restOfLine()
	r.line++
	if strings.HasPrefix(value, "#") {
		return key, "", nil
	}
	for _, comment := range []string{" #", "\t#"} {
		value, _, _ = strings.Cut(value, comment)
	}
	return key, strings.TrimSpace(value), nil
}

func (r *reader) quoted(key string, quote byte) (string, error) {
	var b strings.Builder
	start := *r
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == quote:
			r.rest = r.rest[i+1:]
			after := strings.TrimSpace(r.restOfLine())
			if after != "" && after[0] != '#' {
				return "", r.fail("%q follows the value of %s; a quote inside quotes needs a backslash", after, key)
			}
			r.line++
			return b.String(), nil
		case c == '\\' && quote == '"' && i+1 < len(r.rest):
			i++
			b.WriteString(unescape(r.rest[i]))
			if r.rest[i] == '\n' {
				r.line++
			}
		default:
			if c == '\n' {
				r.line++
			}
			b.WriteByte(c)
		}
	}
	return "", start.fail("the quotes around the value of %s are not closed", key)
}

// unescape is what a backslash before c means.
func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$':
		return string(c)
	case '\n': // a line that goes on
		return ""
	}
	return `\` + string(c)
}
