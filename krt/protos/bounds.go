package protos

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// Bounds of what one set of protos may be made of. A compiler takes memory and time by these, not by bytes: see
// TestNoProtoCostsMoreThanItsBounds for what was found without them.
const (
	maxTokens    = 100_000 // words, numbers, texts, signs and comments of all files together
	maxBrackets  = 100     // brackets within brackets of any kind
	maxLineBytes = 2_000   // columns are counted from the line's beginning, again for each word
	maxWordBytes = 255     // of a name or a number
	maxNameBytes = 512     // of a message's name with what it lies in, the package included
	maxMembers   = 2_000   // of one message, fields and all else; each is compared with the others
	maxProblems  = 100     // that are told; the others are counted
	maxMessage   = 300     // characters of what one problem says
)

// bounds is what is left for the files that have not been looked at yet.
type bounds struct{ tokens int }

func newBounds() *bounds { return &bounds{tokens: maxTokens} }

// look reads the source as far as needed to know what it will cost, before the compiler sees it, and returns what is wrong
// with it: nil if nothing is. It also refuses what cannot be read at all, so that the compiler reads the same words.
func (b *bounds) look(path string, source []byte) *Problem {
	s := scan{source: source, line: 1}
	wrong := func(message string, args ...any) *Problem {
		return &Problem{File: path, Line: s.line, Message: fmt.Sprintf(message, args...)}
	}
	if line := longLine(source); line > 0 {
		s.line = line
		return wrong("a line of more than %s bytes; break it", prose.Thousands(maxLineBytes))
	}
	depth := 0
	for {
		word, message := s.next()
		switch {
		case message != "":
			return wrong("%s", message)
		case word == 0:
			return nil
		}
		if b.tokens--; b.tokens < 0 {
			return wrong("more than %s words and signs in all protos together", prose.Thousands(maxTokens))
		}
		switch word {
		case '{', '[', '(', '<':
			if depth++; depth > maxBrackets {
				return wrong("brackets are nested more than %d deep", maxBrackets)
			}
		case '}', ']', ')', '>':
			depth = max(0, depth-1)
		}
	}
}

// longLine is the number of the first line that is too long, 0 if none is.
func longLine(source []byte) int {
	line := 0
	for each := range bytes.Lines(source) {
		if line++; len(bytes.TrimRight(each, "\r\n")) > maxLineBytes {
			return line
		}
	}
	return 0
}

// scan goes through a source word by word.
type scan struct {
	source []byte
	at     int
	line   int
}

// next is the first byte of the next word or sign, 0 at the end. A message tells why there is none.
func (s *scan) next() (first byte, message string) {
	for s.at < len(s.source) {
		c := s.source[s.at]
		switch {
		case c == '\n':
			s.line++
			s.at++
		case c == ' ', c == '\t', c == '\r', c == '\f', c == '\v':
			s.at++
		case c < utf8.RuneSelf && unicode.IsControl(rune(c)):
			return 0, fmt.Sprintf("holds the control character %U", rune(c))
		case c >= utf8.RuneSelf:
			return s.foreign()
		case c == '"' || c == '\'':
			return c, s.text(c)
		case c == '/' && s.follows('/'):
			return c, s.comment()
		case c == '/' && s.follows('*'):
			return c, s.block()
		case isWord(c):
			return c, s.word()
		default:
			s.at++
			return c, ""
		}
	}
	return 0, ""
}

// word goes past a name or a number.
func (s *scan) word() string {
	begins := s.at
	for s.at < len(s.source) && isWord(s.source[s.at]) {
		s.at++
	}
	if s.at-begins > maxWordBytes {
		return fmt.Sprintf("a word of more than %d bytes", maxWordBytes)
	}
	return ""
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (s *scan) follows(c byte) bool { return s.at+1 < len(s.source) && s.source[s.at+1] == c }

// foreign is a character beyond ASCII outside of texts and comments: a byte order mark at the beginning, and nothing else.
func (s *scan) foreign() (byte, string) {
	char, size := utf8.DecodeRune(s.source[s.at:])
	switch {
	case char == utf8.RuneError && size == 1:
		return 0, notUTF8
	case char == '\uFEFF' && s.at == 0:
		s.at += size
		return s.next()
	}
	return 0, fmt.Sprintf("the character %q outside of texts and comments", char)
}

const notUTF8 = "not UTF-8"

// text goes past a text in quotes.
func (s *scan) text(quote byte) string {
	for s.at++; s.at < len(s.source); {
		switch c := s.source[s.at]; {
		case c == quote:
			s.at++
			return ""
		case c == '\n':
			return "a text does not end on its line"
		case c == '\\' && s.at+1 < len(s.source) && s.source[s.at+1] != '\n':
			s.at++
			fallthrough
		default:
			if message := s.character(); message != "" {
				return message
			}
		}
	}
	return "a text does not end"
}

// comment goes past a comment to the end of its line.
func (s *scan) comment() string {
	for s.at < len(s.source) && s.source[s.at] != '\n' {
		if message := s.character(); message != "" {
			return message
		}
	}
	return ""
}

// block goes past a comment between slashes and asterisks. A complaint that it does not end names the line it begins in.
func (s *scan) block() string {
	begins := s.line
	for s.at += 2; s.at < len(s.source); {
		switch {
		case s.source[s.at] == '*' && s.follows('/'):
			s.at += 2
			return ""
		case s.source[s.at] == '\n':
			s.line++
			s.at++
			continue
		}
		if message := s.character(); message != "" {
			return message
		}
	}
	s.line = begins
	return "a comment does not end"
}

// character goes past one of a text or a comment.
func (s *scan) character() string {
	char, size := utf8.DecodeRune(s.source[s.at:])
	if char == utf8.RuneError && size == 1 {
		return notUTF8
	}
	if char == 0 {
		return fmt.Sprintf("holds the control character %U", char)
	}
	s.at += size
	return ""
}

// shorten keeps a problem readable whatever the source holds.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
