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
)

// Level of a record.
type Level string

// The levels.
const (
	Debug Level = "debug"
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// Origin is what every record of a process has in common.
type Origin struct {
	Version, Workflow, Node string
}

// Record is one line.
type Record struct {
	Level     Level
	Message   string
	RequestID string
	MessageID string
	Attempt   int
	Err       string
	Stack     string
}

// Log writes records. It may be used by several goroutines at a time.
type Log struct {
	origin Origin
	text   bool

	mu     sync.Mutex
	out    io.Writer
	buffer bytes.Buffer
}

// New returns a log that writes to out, in text for people or else as JSON.
func New(out io.Writer, text bool, origin Origin) *Log {
	return &Log{origin: origin, text: text, out: out}
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
	Stack     string `json:"stack,omitempty"`
}

// Write writes r as one line. A log that cannot be written is nothing a node could act on, so nothing is returned.
func (l *Log) Write(r Record) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer.Reset()
	if l.text {
		l.writeText(now, r)
	} else {
		l.writeJSON(now, r)
	}
	_, _ = l.out.Write(l.buffer.Bytes())
}

func (l *Log) writeJSON(now time.Time, r Record) {
	encoder := json.NewEncoder(&l.buffer)
	encoder.SetEscapeHTML(false)
	// Strings and numbers always encode; the encoder ends the line.
	_ = encoder.Encode(line{
		Time: now.UTC().Format(time.RFC3339Nano), Level: r.Level, Message: r.Message,
		Version: l.origin.Version, Workflow: l.origin.Workflow, Node: l.origin.Node,
		RequestID: r.RequestID, MessageID: r.MessageID, Attempt: r.Attempt, Error: r.Err, Stack: r.Stack,
	})
}

func (l *Log) writeText(now time.Time, r Record) {
	fmt.Fprintf(&l.buffer, "%s %-5s %s %s", now.Format("15:04:05.000"), strings.ToUpper(string(r.Level)), l.origin.Node, strings.ReplaceAll(r.Message, "\n", " "))
	l.pair("error", r.Err)
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
