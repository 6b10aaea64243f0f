// Package screen writes what `kre run` shows: its own notices and the logs of all nodes, interleaved, each line behind
// the name of who said it. Nothing of that is trusted: see package terminal.
package screen

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// Options of a Screen.
type Options struct {
	Out   io.Writer
	Color bool
	JSON  bool // log lines are passed on as they came, but for what a terminal would act on; notices are such lines too
	// Attempts is how often a message is tried at most, by name of the node; for the logs of failed ones.
	Attempts func(who string) int
}

// maxColumn is the longest name that others are aligned to.
const maxColumn = 24

// Screen serializes everything that is written.
type Screen struct {
	options Options
	mu      sync.Mutex
	width   int
	colors  map[string]string
}

// New is a screen without names.
func New(o Options) *Screen { return &Screen{options: o, colors: make(map[string]string)} }

// Names announces who is going to speak, so that all lines are aligned from the first.
func (s *Screen) Names(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if width := utf8.RuneCountInString(name); width <= maxColumn {
			s.width = max(s.width, width)
		}
		s.color(name)
	}
}

// Say writes a notice of kre's own.
func (s *Screen) Say(who, format string, args ...any) {
	s.notice("info", who, fmt.Sprintf(format, args...))
}

// Warn writes a notice about something a person should look at.
func (s *Screen) Warn(who, format string, args ...any) {
	s.notice("warn", who, fmt.Sprintf(format, args...))
}

// Fail writes a notice about something that did not work.
func (s *Screen) Fail(who, format string, args ...any) {
	s.notice("error", who, fmt.Sprintf(format, args...))
}

// notice writes text, which may have several lines.
func (s *Screen) notice(level, who, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.JSON {
		s.json(level, who, text)
		return
	}
	text = strings.TrimRight(text, "\n")
	for i, line := range strings.Split(text, "\n") {
		line = terminal.Clean(line)
		switch level {
		case "error":
			line = s.paint(red, line)
		case "warn":
			line = s.paint(yellow, line)
		}
		if i == 0 {
			s.line(who, line)
		} else {
			s.line("", line)
		}
	}
}

func (s *Screen) json(level, who, text string) {
	line, err := json.Marshal(struct {
		Time    string `json:"time"`
		Level   string `json:"level"`
		Message string `json:"message"`
		Logger  string `json:"logger"`
		About   string `json:"about"`
	}{time.Now().UTC().Format(time.RFC3339Nano), level, text, "kre", who})
	if err == nil { // strings always encode
		s.write(string(terminal.JSON(line)) + "\n")
	}
}

// Log writes a line that a process printed.
func (s *Screen) Log(who, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.JSON {
		if json.Valid([]byte(text)) {
			s.write(string(terminal.JSON([]byte(text))) + "\n")
		} else {
			s.write(terminal.Clean(text) + "\n")
		}
		return
	}
	attempts := 0
	if s.options.Attempts != nil {
		attempts = s.options.Attempts(who)
	}
	for i, line := range render(text, attempts, s.options.Color, s.paint) {
		if i == 0 {
			s.line(who, line)
		} else {
			s.line("", line)
		}
	}
}

// Render is a line that a process printed as Log shows it, without name and colours.
func Render(text string) []string {
	return render(text, 0, false, func(_, text string) string { return text })
}

func render(text string, attempts int, colors bool, paint func(color, text string) string) []string {
	if r, ok := parse(text); ok {
		return r.render(attempts, colors, paint)
	}
	return []string{terminal.Colors(strings.TrimSuffix(text, "\r"), colors)}
}

func (s *Screen) line(who, text string) { s.write(strings.TrimRight(s.prefix(who)+text, " ") + "\n") }

func (s *Screen) prefix(who string) string {
	pad := max(0, s.width-utf8.RuneCountInString(who))
	return s.paint(s.color(who), terminal.Clean(who)) + strings.Repeat(" ", pad+2)
}

// write writes to a terminal or a pipe; one that is gone is nothing a running version should end for.
func (s *Screen) write(text string) { _, _ = io.WriteString(s.options.Out, text) }
