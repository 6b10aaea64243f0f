package wire

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// maxField bounds a header's value in bytes; no honest sender comes near it.
const maxField = 4096

// fields reads headers one by one and keeps the first complaint, so that a parser reads as a list.
type fields struct {
	header map[string][]string
	err    error
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("header %s: %s", name, fmt.Sprintf(format, args...))
	}
}

// text returns the value of a header that may be absent.
func (f *fields) text(name string) string {
	values := f.header[name]
	if len(values) == 0 {
		return ""
	}
	if len(values) > 1 {
		f.fail(name, "given %d times, want once", len(values))
		return ""
	}
	value := values[0]
	if len(value) > maxField {
		f.fail(name, "%d bytes, want at most %d", len(value), maxField)
		return ""
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			f.fail(name, "holds the control character %#x", value[i])
			return ""
		}
	}
	// The broker's client trims the outer blanks of a value: one that has them could not travel.
	if value != "" && (value[0] == ' ' || value[len(value)-1] == ' ') {
		f.fail(name, "begins or ends with a blank")
		return ""
	}
	return value
}

// required returns the value of a header that may be neither absent nor empty.
func (f *fields) required(name string) string {
	value := f.text(name)
	if value == "" {
		f.fail(name, "missing")
	}
	return value
}

// token returns the value of a required header that holds no blank.
func (f *fields) token(name string) string {
	value := f.required(name)
	for i := range len(value) {
		if value[i] == ' ' {
			f.fail(name, "%q holds a blank", value)
		}
	}
	return value
}

// number returns the value of a header that holds a canonical decimal number from 0 to limit; absent is 0.
func (f *fields) number(name string, limit int64) int64 {
	value := f.text(name)
	if value == "" {
		return 0
	}
	n, ok := decimal(value)
	if !ok {
		f.fail(name, "%q is not a decimal number", value)
		return 0
	}
	if n > limit {
		f.fail(name, "%d is more than %d", n, limit)
		return 0
	}
	return n
}

func (f *fields) instant(name string) time.Time {
	n := f.number(name, math.MaxInt64)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (f *fields) requestID() string {
	id := f.required(HeaderRequestID)
	if f.err == nil && !ValidRequestID(id) {
		f.fail(HeaderRequestID, "%q is not a ULID of 26 characters", id)
	}
	return id
}

func (f *fields) timing() Timing {
	timing := Timing(f.text(HeaderTiming))
	if f.err == nil {
		if _, err := timing.Steps(); err != nil {
			f.fail(HeaderTiming, "%v", err)
		}
	}
	return timing
}

// subject returns the value of a header that may be absent and else holds a subject that can be published to.
func (f *fields) subject(name string) string {
	value := f.text(name)
	if value == "" {
		return ""
	}
	start := true
	for i := range len(value) {
		c := value[i]
		if c == '*' || c == '>' || c == ' ' || (c == '.' && start) {
			f.fail(name, "%q is not a subject that can be published to", value)
			return ""
		}
		start = c == '.'
	}
	if start {
		f.fail(name, "%q is not a subject that can be published to", value)
		return ""
	}
	return value
}

// ValidRequestID reports whether id is a ULID in its canonical spelling.
func ValidRequestID(id string) bool {
	if len(id) != 26 || id[0] > '7' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z' || c == 'I' || c == 'L' || c == 'O' || c == 'U') {
			return false
		}
	}
	return true
}

// decimal reads a number without sign, blanks or leading zeros.
func decimal(s string) (int64, bool) {
	if s == "" || (len(s) > 1 && s[0] == '0') || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// headers gathers headers for a map, which is made for every message that is sent: no larger than it has to be, and with values
// that share one array.
type headers struct {
	count         int
	names, values [mostHeaders]string
}

const mostHeaders = 13 // that a message has

func (h *headers) set(name, value string) {
	if value == "" {
		return
	}
	h.names[h.count], h.values[h.count] = name, value
	h.count++
}

func (h *headers) setTime(name string, t time.Time) {
	if !t.IsZero() {
		h.set(name, strconv.FormatInt(t.UnixNano(), 10))
	}
}

// made returns the map, which has room for the broker's own id as well.
func (h *headers) made() map[string][]string {
	header := make(map[string][]string, h.count+1)
	values := slices.Clone(h.values[:h.count])
	for i, name := range h.names[:h.count] {
		header[name] = values[i : i+1 : i+1]
	}
	return header
}
