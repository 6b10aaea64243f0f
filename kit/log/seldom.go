package log

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// seldomAtMost is how many lines of a kind there are in a second.
const seldomAtMost = 10

// Seldom bounds lines that anybody can cause: ten in a second are written, and the next one tells how many were not.
type Seldom struct {
	mu     sync.Mutex
	second time.Time
	told   int
	left   int
}

// NewSeldom returns one.
func NewSeldom() *Seldom { return &Seldom{} }

// Fields are the fields of the next line, if it may be written.
func (s *Seldom) Fields(fields []zap.Field) ([]zap.Field, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.second) >= time.Second {
		s.second, s.told = now, 0
	}
	if s.told >= seldomAtMost {
		s.left++
		return nil, false
	}
	s.told++
	if s.left > 0 {
		fields = append(fields, zap.Int("left_out_before", s.left))
		s.left = 0
	}
	return fields, true
}

// longest is how much of a text that a caller chose is written, bytes.
const longest = 200

// Cut is a text that somebody else chose, as it may be written: not longer than is useful.
func Cut(text string) string { return CutAt(text, longest) }

// CutAt is Cut with another length.
func CutAt(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s… and %d bytes more", strings.ToValidUTF8(text[:most], ""), len(text)-most)
}
