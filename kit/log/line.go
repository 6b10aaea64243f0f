package log

import (
	"bytes"
	"encoding/json"
)

// MayBeObject tells whether a line begins as a JSON object does.
func MayBeObject(line []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) }

// Mended is a line that is a JSON object which was cut, most likely in a long text, with an end; nil where that is not what
// it is.
func Mended(line string) []byte {
	const longestEscape = len(`\uffff`)
	for cut := range min(longestEscape, len(line)) {
		whole := []byte(line[:len(line)-cut] + `"}`)
		if MayBeObject(whole) && json.Valid(whole) {
			return whole
		}
	}
	return nil
}
