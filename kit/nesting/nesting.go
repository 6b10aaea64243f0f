// Package nesting is how deep values may lie within values, in JSON and in messages of protobuf. It is one limit wherever
// what others have written is read: readers of protobuf in most languages have the same.
package nesting

import (
	"bytes"
	"iter"
)

// Limit is the deepest level. What lies in nothing is on level 0; the object that a JSON document is, on level 1.
const Limit = 100

// Deeper tells whether objects and arrays lie deeper than a level in text, which need not be valid JSON: what is said of text
// that is not means nothing. It takes no memory, however deep they lie.
func Deeper(text []byte, level int) bool {
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= level {
		return false
	}
	depth := 0
	for c := range Unquoted(text) {
		switch c {
		case '[', '{':
			if depth++; depth > level {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// Unquoted are the bytes of JSON that are in no text. Where it is not valid, some are taken for a text's that are not, or the other
// way round.
func Unquoted(text []byte) iter.Seq[byte] {
	return func(yield func(byte) bool) {
		quoted := false
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case !quoted && !yield(c):
				return
			}
		}
	}
}
