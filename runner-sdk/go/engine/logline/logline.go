// Package logline writes the log of a node: one line per record on one writer, as JSON or as text.
package logline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Level of a record.
type Level string

// The levels, the gravest last.
const (
	Debug Level = "debug"
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// grave orders the levels.
func (l Level) grave() int { return strings.Index("debuginfowarnerror", string(l)) }

// ParseLevel reads the name of a level; "" is Info.
func ParseLevel(name string) (Level, error) {
	switch level := Level(name); level {
	case "":
		return Info, nil
	case Debug, Info, Warn, Error:
		return level, nil
	}
	return "", fmt.Errorf("%q is not a level: want debug, info, warn or error", name)
}

// MaxText is how many bytes the texts of a record may have together. What is longer is shortened.
const MaxText = 256 << 10

// Options say how a log is written.
type Options struct {
	Text   bool   // for people; else as JSON
	Level  Level  // from which on records are written; empty: all
	Origin Origin // of every record
}

// Origin is what every record of a process has in common.
type Origin struct {
	Version, Workflow, Node string
}

// Record is one line.
type Record struct {
	Time      time.Time // zero: now
	Level     Level
	Message   string
	RequestID string
	MessageID string
	Attempt   int
	Err       string
	Where     string // in the author's code
	Stack     string
}

// Log writes records. It may be used by several goroutines at a time.
type Log struct {
	options Options

	mu     sync.Mutex
	out    io.Writer
	buffer bytes.Buffer
}

// New returns a log that writes to out.
func New(out io.Writer, o Options) *Log {
	return &Log{options: o, out: out}
}

type line struct {
	Time      string `json:"time"`
	Level     Level  `json:"level"`
	Message   string `json:"message"`
	Version   string `json:"version,omitempty"`
	Workflow  string `json:"workflow,omitempty"`
	Node      string `json:"node,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	Error     string `json:"error,omitempty"`
	Where     string `json:"where,omitempty"`
	Stack     string `json:"stack,omitempty"`
}

// Enabled reports whether records of a level are written.
func (l *Log) Enabled(level Level) bool { return level.grave() >= l.options.Level.grave() }

// Write writes r as one line. A log that cannot be written is nothing a node could act on, so nothing is returned.
func (l *Log) Write(r Record) {
	if !l.Enabled(r.Level) {
		return
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.shorten()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer.Reset()
	if l.options.Text {
		l.writeText(r)
	} else {
		l.writeJSON(r)
	}
	_, _ = l.out.Write(l.buffer.Bytes())
}

// Raw writes a line that is no record as it is, without its line feed, not in the middle of another.
func (l *Log) Raw(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer.Reset()
	l.buffer.Write(text)
	l.buffer.WriteByte('\n')
	_, _ = l.out.Write(l.buffer.Bytes())
}

// shorten cuts the longest texts until all fit, and has each say by how much.
func (r *Record) shorten() {
	texts := []*string{&r.Stack, &r.Message, &r.Err, &r.Where}
	total := 0
	for _, text := range texts {
		total += len(*text)
	}
	for _, text := range texts {
		if total <= MaxText {
			return
		}
		// Every text keeps at least its share.
		keep := max(len(*text)-(total-MaxText), MaxText/len(texts))
		if keep < len(*text) {
			total -= len(*text) - keep
			*text = Shorten(*text, keep)
		}
	}
}

// Shorten returns the first bytes of text, at most limit of them, and says how many more there were.
func Shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return fmt.Sprintf("%s… (%d more bytes)", text[:limit], len(text)-limit)
}

func (l *Log) writeJSON(r Record) {
	encoder := json.NewEncoder(&l.buffer)
	encoder.SetEscapeHTML(false)
	// Strings and numbers always encode; the encoder ends the line.
	origin := l.options.Origin
	_ = encoder.Encode(line{
		Time: r.Time.UTC().Format(time.RFC3339Nano), Level: r.Level, Message: r.Message,
		Version: origin.Version, Workflow: origin.Workflow, Node: origin.Node,
		RequestID: r.RequestID, MessageID: r.MessageID, Attempt: r.Attempt, Error: r.Err, Where: r.Where, Stack: r.Stack,
	})
}

func (l *Log) writeText(r Record) {
	fmt.Fprintf(&l.buffer, "%s %-5s %s %s", r.Time.Format("15:04:05.000"), strings.ToUpper(string(r.Level)), l.options.Origin.Node,
		strings.ReplaceAll(r.Message, "\n", " "))
	l.pair("error", r.Err)
	l.pair("where", r.Where)
	l.pair("request_id", r.RequestID)
	l.pair("message_id", r.MessageID)
	if r.Attempt > 0 {
		l.pair("attempt", strconv.Itoa(r.Attempt))
	}
	l.buffer.WriteByte('\n')
	if r.Stack != "" {
		l.buffer.WriteString(strings.TrimRight(r.Stack, "\n"))
		l.buffer.WriteByte('\n')
	}
}

func (l *Log) pair(key, value string) {
	if value == "" {
		return
	}
	if strings.ContainsAny(value, " \"\n\r\t=") {
		value = strconv.Quote(value)
	}
	l.buffer.WriteString(" " + key + "=" + value)
}

// Printf writes a record without a message's ids.
func (l *Log) Printf(level Level, format string, args ...any) {
	l.Write(Record{Level: level, Message: fmt.Sprintf(format, args...)})
}
