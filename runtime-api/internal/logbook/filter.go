package logbook

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Filter says which lines; all conditions hold at once.
type Filter struct {
	Version   string    // mapped; required
	Start     time.Time // not before; zero: any
	End       time.Time // before; zero: any
	MinLevel  Level     // or graver; 0: any
	Nodes     []string  // as the manifest writes them; empty: any
	Workflow  string    // as the manifest writes it; empty: any
	Text      string    // in the message or the fields, whatever the case; empty: any
	RequestID string    // empty: any
}

// matcher is a filter made ready.
type matcher struct {
	Filter
	text string
	id   []byte // stands in every line that tells the request, as it is; nil: nobody knows
}

func newMatcher(f Filter) matcher {
	m := matcher{Filter: f, text: strings.ToLower(f.Text)}
	if f.RequestID != "" && !strings.ContainsFunc(f.RequestID, mayBeEscaped) {
		m.id = []byte(f.RequestID)
	}
	return m
}

// mayBeEscaped tells whether there are several ways to write a character in JSON that are in use.
func mayBeEscaped(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"\/<>&'`, r)
}

// match returns the line's entry, if it is one of those that the filter is for.
func (m matcher) match(line Line) (Entry, bool) {
	switch {
	case len(m.Nodes) > 0 && !slices.Contains(m.Nodes, line.Node),
		m.Workflow != "" && line.Workflow != m.Workflow,
		m.id != nil && !bytes.Contains(line.Text, m.id):
		return Entry{}, false
	}
	entry := line.Entry()
	switch {
	case !m.Start.IsZero() && entry.Time.Before(m.Start),
		!m.End.IsZero() && !entry.Time.Before(m.End),
		entry.Level < m.MinLevel,
		m.RequestID != "" && entry.RequestID != m.RequestID,
		m.text != "" && !m.contains(entry):
		return Entry{}, false
	}
	return entry, true
}

func (m matcher) contains(entry Entry) bool {
	if m.inside(entry.Message) || m.inside(entry.RequestID) {
		return true
	}
	for name, value := range entry.Fields {
		if m.inside(name) || m.inside(written(value)) {
			return true
		}
	}
	return false
}

func (m matcher) inside(text string) bool { return strings.Contains(strings.ToLower(text), m.text) }

// written is a field's value as a person would write it.
func written(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	var to bytes.Buffer
	encoder := json.NewEncoder(&to)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		return ""
	}
	return to.String()
}
