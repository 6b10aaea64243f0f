package logbook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/nesting"
)

// Level is how grave a line is.
type Level int

// The levels, the gravest last.
const (
	Debug Level = iota + 1
	Info
	Warn
	Error
)

// How much of a line is kept.
const (
	// MaxText is for plain text, in bytes.
	MaxText = 256 << 10
	// MaxRecord is for a record (see IsRecord), in bytes: enough for texts of MaxText, however JSON writes them.
	MaxRecord = 2 << 20
)

// Entry is what a line says.
type Entry struct {
	Time      time.Time
	Level     Level
	Workflow  string // as the manifest writes it; empty for the entrypoint
	Node      string // as the manifest writes it, or entrypoint
	Replica   int
	Message   string
	RequestID string         // empty: the line tells none
	Fields    map[string]any // what else the line tells, as encoding/json has it
}

// known are the levels by what loggers write, in lower case.
var known = map[string]Level{
	"trace": Debug, "debug": Debug, "info": Info, "warn": Warn, "warning": Warn,
	"error": Error, "critical": Error, "fatal": Error, "panic": Error, "dpanic": Error,
}

// Entry reads the line: a JSON object with a text as its message says what it says; any other text is a message of level
// Info from when it was read. No line is of a later time than it was stored. A time that is not believed stays among the fields.
func (l Line) Entry() Entry {
	entry := Entry{Time: l.Stored, Level: Info, Workflow: l.Workflow, Node: l.Node, Replica: l.Replica}
	fields, message, ok := structured(l.Text)
	if !ok {
		entry.Message = strings.ToValidUTF8(strings.TrimSuffix(string(l.Text), "\r"), "�")
		if l.Cut > 0 {
			entry.Message += fmt.Sprintf("… (%d more bytes)", l.Cut)
		}
		return entry
	}
	entry.Message = message
	if told, ok := timeOf(fields); ok && !l.Undated && !told.After(l.Stored) {
		entry.Time = told
		delete(fields, "time")
	}
	if name, ok := fields["level"].(string); ok {
		if level, ok := known[strings.ToLower(name)]; ok {
			entry.Level = level
		}
	}
	entry.RequestID, _ = fields["request_id"].(string)
	for _, told := range []string{"level", "message", "workflow", "node", "request_id"} {
		delete(fields, told)
	}
	if len(fields) > 0 {
		entry.Fields = fields
	}
	return entry
}

// weight is about how many bytes the entry takes in an answer. Lists of short values take several times what the line does.
func (e Entry) weight() int {
	const rest = 64 // time, names
	return rest + len(e.Message) + len(e.RequestID) + weightOf(e.Fields)
}

func weightOf(value any) int {
	const own = 16
	total := own
	switch value := value.(type) {
	case string:
		total += len(value)
	case []any:
		for _, element := range value {
			total += weightOf(element)
		}
	case map[string]any:
		for name, element := range value {
			total += own + len(name) + weightOf(element)
		}
	}
	return total
}

// TimeOf is the time that a line tells, zero where it tells none.
func TimeOf(text []byte) time.Time {
	if !log.MayBeObject(text) {
		return time.Time{}
	}
	var line struct {
		Time    *string `json:"time"`
		Message *string `json:"message"`
	}
	if json.Unmarshal(text, &line) != nil || line.Time == nil || line.Message == nil {
		return time.Time{}
	}
	told, err := time.Parse(time.RFC3339Nano, *line.Time)
	if err != nil {
		return time.Time{}
	}
	return told
}

func timeOf(fields map[string]any) (time.Time, bool) {
	text, ok := fields["time"].(string)
	if !ok {
		return time.Time{}, false
	}
	told, err := time.Parse(time.RFC3339Nano, text)
	return told, err == nil && !told.IsZero()
}

// Plain is the text of a line for people: of a JSON object, cut or whole, its message and error, of anything else the line
// itself.
func Plain(line string) string {
	line = strings.TrimSpace(line)
	fields, message, ok := structured([]byte(line))
	if !ok {
		fields, message, ok = structured(log.Mended(line))
	}
	if !ok {
		return strings.ToValidUTF8(line, "�")
	}
	if cause, ok := fields["error"].(string); ok && cause != "" {
		message += ": " + cause
	}
	return message
}

// IsRecord tells whether a line is a JSON object with a text as its message, and neither heavier nor deeper than an answer can
// hold.
func IsRecord(line []byte) bool {
	_, _, ok := structured(line)
	return ok
}

const (
	// maxWeight is of a record, maxLight the bytes of a line up to which it cannot weigh more: an element takes two or more.
	maxWeight = 2 * MaxText
	maxLight  = maxWeight / 8
	// maxDepth is how deep a record's objects and arrays lie within each other. An answer holds an entry on level 2, and of a
	// google.protobuf.Struct each level of JSON is three of messages, the last of which holds one more. Whoever reads less
	// deep than nesting.Limit would not read a single line of a page with a deeper one.
	maxDepth = (nesting.Limit - 2 - 1) / 3
)

func structured(text []byte) (fields map[string]any, message string, ok bool) {
	if !log.MayBeObject(text) || nesting.Deeper(text, maxDepth) || json.Unmarshal(text, &fields) != nil {
		return nil, "", false
	}
	message, ok = fields["message"].(string)
	if len(text) > maxLight && weightOf(fields) > maxWeight {
		return nil, "", false
	}
	return fields, message, ok
}
