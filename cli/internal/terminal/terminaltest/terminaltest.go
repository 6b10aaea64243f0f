// Package terminaltest is text that attacks terminals, and what tells whether it got through.
package terminaltest

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Hostile holds every character that a terminal may act on but tabs and line feeds: alone, and in sequences that clear the
// screen, move up, set the title and the clipboard, hide what follows and colour it without an end.
func Hostile() string {
	var b strings.Builder
	b.WriteString("begin\x1b[2J\x1b[H\x1b[1A\x1b]0;title\a\x1b]52;c;aGk=\a\x1bPq\x1b\\\x1bc\x1b[8m\u009b2J\x1b[31mred ")
	for c := rune(0); c < 0xa0; c++ {
		if c != '\t' && c != '\n' && unicode.IsControl(c) {
			b.WriteRune(c)
		}
	}
	b.WriteString("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff\ufffe\uffff\x1b[41mend")
	return b.String()
}

var colored = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// Harmless requires that a terminal may show what was printed: that it does no more than colours, where they are expected, which
// all end on the line on which they begin.
func Harmless(t *testing.T, printed string, colors bool) {
	t.Helper()
	require.True(t, utf8.ValidString(printed), "%q", printed)
	for line := range strings.SplitSeq(printed, "\n") {
		if colors {
			if all := colored.FindAllString(line, -1); len(all) > 0 {
				require.Equal(t, "\x1b[0m", all[len(all)-1], "%q", line)
			}
			line = colored.ReplaceAllString(line, "")
		}
		for _, c := range line {
			bidi := c == 0x061c || c == 0x200e || c == 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2066 && c <= 0x2069
			require.False(t, bidi || c != '\t' && unicode.IsControl(c), "%q in %q", c, line)
		}
	}
}
