package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// shortID is how much of the end of a request id is shown. Its beginning is the time: the same for minutes.
const shortID = 6

// record is a log line of an SDK or of one of kre's own programs.
type record struct {
	Level     string         `json:"level"`
	Message   string         `json:"message"`
	RequestID string         `json:"request_id"`
	Where     string         `json:"where"`
	Error     string         `json:"error"`
	Attempt   int            `json:"attempt"`
	Stack     string         `json:"stack"`
	rest      map[string]any // what else it holds
}

// parse reads a line that is such a record.
func parse(line string) (record, bool) {
	var r record
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &r) != nil {
		return record{}, false
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(line)))
	decoder.UseNumber()
	if decoder.Decode(&r.rest) != nil {
		return record{}, false
	}
	if _, says := r.rest["message"]; r.Level == "" || !says && r.Error == "" {
		return record{}, false // somebody prints JSON of his own
	}
	for _, known := range []string{
		"time", "level", "message", "logger", "request_id", "message_id", "where", "error", "attempt", "stack",
		"runtime", "version", "workflow", "node",
	} {
		delete(r.rest, known)
	}
	return r, true
}

// render is the record for people: one line, and more where it holds a stack or text of several lines.
func (r record) render(attempts int, colors bool, paint func(color, text string) string) []string {
	clean := func(text string) string { return terminal.Colors(text, colors) }
	level := strings.ToUpper(r.Level)
	color := ""
	switch level {
	case "ERROR", "FATAL", "CRITICAL":
		color = red
	case "WARN", "WARNING":
		level, color = "WARN", yellow
	case "DEBUG":
		color = dim
	}
	words := []string{paint(color, terminal.Clean(level))}
	if r.RequestID != "" {
		words = append(words, paint(dim, terminal.Clean(r.RequestID[max(0, len(r.RequestID)-shortID):])))
	}
	if r.Where != "" {
		words = append(words, terminal.Clean(r.Where))
	}
	text, stack := r.Message, strings.TrimRight(r.Stack, "\n")
	attempt, of, failed := failedAttempt(text)
	if failed = failed && r.Error != ""; failed {
		r.Attempt, attempts = attempt, of
	}
	if r.Where != "" && oneFrame(stack) { // which is there
		stack = ""
	}
	switch {
	case r.Error == "":
	case failed || r.Where != "" || text == "": // the error says it all
		text = r.Error
	default:
		text += ": " + r.Error
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	if lines[0] != "" {
		words = append(words, clean(lines[0]))
	}
	if r.Attempt > 1 || r.Attempt == 1 && color == red {
		attempt := "attempt " + strconv.Itoa(r.Attempt)
		if attempts > 0 {
			attempt += "/" + strconv.Itoa(attempts)
		}
		words = append(words, attempt)
	}
	words = append(words, pairs(r.rest)...)
	out := []string{strings.Join(words, " ")}
	for _, line := range lines[1:] {
		out = append(out, "  "+clean(line))
	}
	if stack != "" {
		for line := range strings.SplitSeq(stack, "\n") {
			out = append(out, paint(dim, "  "+clean(line)))
		}
	}
	return out
}

// failedAttempt reads the message of a failed attempt, as every SDK writes it.
func failedAttempt(message string) (attempt, of int, ok bool) {
	const form = "attempt %d of %d failed"
	_, err := fmt.Sscanf(message, form, &attempt, &of)
	return attempt, of, err == nil && message == fmt.Sprintf(form, attempt, of)
}

// oneFrame tells whether a traceback of Python has no more than one place.
func oneFrame(stack string) bool {
	return strings.HasPrefix(stack, "Traceback ") && strings.Count(stack, "\n  File \"") == 1
}

// pairs are the remaining fields, sorted.
func pairs(fields map[string]any) []string {
	words := make([]string, 0, len(fields))
	for key, value := range fields {
		text := fmt.Sprint(value)
		if _, plain := value.(string); !plain {
			if encoded, err := json.Marshal(value); err == nil {
				text = string(encoded)
			}
		} else if text == "" || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || c == '"' || c == '=' }) {
			text = strconv.Quote(text)
		}
		words = append(words, terminal.Clean(key)+"="+terminal.Clean(text))
	}
	slices.Sort(words)
	return words
}
