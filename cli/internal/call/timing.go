package call

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timing is where the time of a request went: the whole first, then its parts in order.
type timing []span

type span struct {
	name string
	took time.Duration
}

// parseTiming reads what an entrypoint tells, e.g. total=3100;queue=400;greet=1900;reply=800, in microseconds. What it
// does not understand it leaves out.
func parseTiming(text string) timing {
	var t timing
	for part := range strings.SplitSeq(text, ";") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		micros, err := strconv.ParseInt(value, 10, 64)
		if !found || err != nil {
			continue
		}
		t = append(t, span{name: name, took: time.Duration(micros) * time.Microsecond})
	}
	return t
}

// String is e.g. `3.1 ms = queue 0.4 + greet 1.9 + reply 0.8`; empty when nothing is known.
func (t timing) String() string {
	if len(t) == 0 || t[0].name != "total" {
		return ""
	}
	unit, name := time.Millisecond, "ms"
	if t[0].took >= time.Second {
		unit, name = time.Second, "s"
	}
	number := func(d time.Duration) string {
		value := float64(d) / float64(unit)
		if value >= 99.95 {
			return strconv.FormatFloat(value, 'f', 0, 64)
		}
		return strconv.FormatFloat(value, 'f', 1, 64)
	}
	var parts []string
	for _, part := range t[1:] {
		parts = append(parts, part.name+" "+number(part.took))
	}
	text := fmt.Sprintf("%s %s", number(t[0].took), name)
	if len(parts) > 0 {
		text += " = " + strings.Join(parts, " + ")
	}
	return text
}

// MarshalJSON writes a list of names and microseconds: a node may be called like another part.
func (t timing) MarshalJSON() ([]byte, error) {
	type part struct {
		Name   string `json:"name"`
		Micros int64  `json:"us"`
	}
	parts := make([]part, 0, len(t))
	for _, s := range t {
		parts = append(parts, part{s.name, s.took.Microseconds()})
	}
	return json.Marshal(parts)
}
