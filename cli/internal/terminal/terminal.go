// Package terminal makes text that strangers wrote fit for a terminal: it can neither move the cursor nor turn the direction of
// writing nor leave a colour behind. Whatever prints such text (log lines, reasons, errors, answers, names in packages) does
// so with one of these functions.
package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reset ends all colours.
const reset = "\x1b[0m"

// Clean is text for one line: what a terminal would act on is written out (\x1b, \u202e, \n), bytes that are no UTF-8 are
// replaced. Tabs stay.
func Clean(text string) string { return clean(text, false) }

// Lines is Clean for text of several lines.
func Lines(text string) string {
	if !strings.Contains(text, "\n") {
		return Clean(text)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Clean(line)
	}
	return strings.Join(lines, "\n")
}

// Colors is Clean, but for the colours that the text sets: where color says that they are wanted they stay and end with the
// text, else they are left out.
func Colors(text string, color bool) string {
	if !strings.Contains(text, "\x1b[") {
		return Clean(text)
	}
	var b strings.Builder
	set := false
	for len(text) > 0 {
		at := strings.Index(text, "\x1b[")
		if at < 0 {
			break
		}
		b.WriteString(Clean(text[:at]))
		length := sgr(text[at:])
		switch {
		case length == 0:
			length = 1 // the rest is text again
			b.WriteString(Clean(text[at : at+1]))
		case color:
			set = true
			b.WriteString(text[at : at+length])
		}
		text = text[at+length:]
	}
	b.WriteString(Clean(text))
	if set && !strings.HasSuffix(b.String(), reset) {
		b.WriteString(reset)
	}
	return b.String()
}

// JSON is a JSON document for a terminal, and for what prints its texts as they are: it says the same, with escapes for what a
// terminal would act on. Within YAML it may be used where all such characters stand between double quotes.
func JSON(document []byte) []byte { return []byte(clean(string(document), true)) }

// WriteJSON writes a value as an indented JSON document for a terminal.
func WriteJSON(w io.Writer, value any) error {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err := w.Write(JSON(document.Bytes()))
	return err
}

// Acts tells whether text holds what a terminal would act on, but for tabs.
func Acts(text string) bool { return strings.ContainsFunc(text, acts) }

func acts(c rune) bool {
	switch c {
	case '\t':
		return false
	case 0xfeff, 0xfffe, 0xffff: // of which YAML knows none
		return true
	}
	return unicode.In(c, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

func clean(text string, document bool) string {
	if utf8.ValidString(text) && !Acts(text) {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		switch {
		case !acts(c), document && c == '\n': // in a document this and \r stand between values only
			b.WriteRune(c)
		case document && c == '\r':
		case document:
			fmt.Fprintf(&b, `\u%04x`, c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// sgr is the length of the sequence with which text begins, if that does no more than set colours, bold and the like: ESC [
// numbers m. None that hides text is among them.
func sgr(text string) int {
	const begin = len("\x1b[")
	numbers := text[begin:]
	end := strings.IndexFunc(numbers, func(c rune) bool { return c != ';' && (c < '0' || c > '9') })
	if end < 0 || numbers[end] != 'm' {
		return 0
	}
	for number := range strings.SplitSeq(numbers[:end], ";") {
		if strings.TrimLeft(number, "0") == "8" { // and colours of 256 in which it is one are rare
			return 0
		}
	}
	return begin + end + 1
}
