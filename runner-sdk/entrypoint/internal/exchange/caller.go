package exchange

import "strings"

// Headers of a request and of its answer, in lower case.
const (
	HeaderRequestID   = "x-request-id" // of a request: the caller's own id, a label; of every answer: ours
	HeaderTiming      = "x-kre-timing" // of a request: "1"; of its answer: where the time went
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// Caller is what a request says of itself beside its payload.
type Caller struct {
	Label       string // the caller's own request id
	Traceparent string
	Tracestate  string
	Timing      bool // it wants to know where the time went
}

// NewCaller reads what a request says in its headers. What is not valid is left out: a label that is not 1 to 128
// letters, digits or -_.:/+=@, a traceparent that is not as W3C Trace Context has it, a tracestate without one.
func NewCaller(header func(name string) string) Caller {
	c := Caller{Label: header(HeaderRequestID), Timing: header(HeaderTiming) == "1"}
	if !validLabel(c.Label) {
		c.Label = ""
	}
	if parent := header(HeaderTraceparent); validTraceparent(parent) {
		c.Traceparent = parent
		if state := strings.Trim(header(HeaderTracestate), " "); validTracestate(state) {
			c.Tracestate = state
		}
	}
	return c
}

func validLabel(label string) bool {
	const most = 128
	if len(label) > most {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("-_.:/+=@", c) < 0 {
			return false
		}
	}
	return true
}

// validTraceparent knows version 00 and lets later ones be longer.
func validTraceparent(parent string) bool {
	const (
		version, trace, span, flags = 2, 32, 16, 2
		length                      = version + 1 + trace + 1 + span + 1 + flags
		most                        = 256
	)
	if len(parent) < length || len(parent) > most || !printable(parent) {
		return false
	}
	if len(parent) > length && (parent[:version] == "00" || parent[length] != '-') {
		return false
	}
	parts := strings.SplitN(parent[:length], "-", 4)
	return len(parts) == 4 &&
		len(parts[0]) == version && hexadecimal(parts[0]) && parts[0] != "ff" &&
		len(parts[1]) == trace && hexadecimal(parts[1]) && strings.Trim(parts[1], "0") != "" &&
		len(parts[2]) == span && hexadecimal(parts[2]) && strings.Trim(parts[2], "0") != "" &&
		len(parts[3]) == flags && hexadecimal(parts[3])
}

func validTracestate(state string) bool {
	const most = 512
	return len(state) <= most && printable(state)
}

func hexadecimal(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
