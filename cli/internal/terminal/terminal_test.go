package terminal_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
)

func TestNothingThatATerminalActsOnIsLeft(t *testing.T) {
	for _, text := range []string{terminaltest.Hostile(), "a\n" + terminaltest.Hostile() + "\n\x9b31mb", "\x9b31m\x80\xff"} {
		terminaltest.Harmless(t, terminal.Clean(text), false)
		terminaltest.Harmless(t, terminal.Lines(text), false)
		terminaltest.Harmless(t, terminal.Colors(text, false), false)
		terminaltest.Harmless(t, terminal.Colors(text, true), true)
		document, err := json.Marshal(map[string]string{"k" + text: text})
		require.NoError(t, err)
		escaped := terminal.JSON(document)
		terminaltest.Harmless(t, string(escaped), false)
		require.JSONEq(t, string(document), string(escaped), "it says the same")
	}
	require.NotContains(t, terminal.Clean("a\nb"), "\n")
}

func TestTextThatDoesNothingStays(t *testing.T) {
	for _, text := range []string{"", "a\tb", "é 漢字 👩‍👩‍👧 שלום مرحبا", `\x1b[31m`} {
		require.Equal(t, text, terminal.Clean(text))
		require.Equal(t, text, terminal.Colors(text, true))
	}
	require.Equal(t, `\x1b[2J\x07 \u202etxt.exe\r\n�`, terminal.Clean("\x1b[2J\a \u202etxt.exe\r\n\xff"))
	require.Equal(t, "{\n\t\"a\": \"\\u202e\"\n}", string(terminal.JSON([]byte("{\n\t\"a\": \"\u202e\"\n}"))))
}

func TestColoursEndWithTheirText(t *testing.T) {
	for text, want := range map[string][2]string{
		"\x1b[31mred":                  {"\x1b[31mred\x1b[0m", "red"},
		"\x1b[1;31mred\x1b[0m":         {"\x1b[1;31mred\x1b[0m", "red"},
		"a \x1b[38;5;196mb\x1b[0m c":   {"a \x1b[38;5;196mb\x1b[0m c\x1b[0m", "a b c"},
		"\x1b[2J\x1b[31m":              {`\x1b[2J` + "\x1b[31m\x1b[0m", `\x1b[2J`},
		"\x1b[8mhidden":                {`\x1b[8mhidden`, `\x1b[8mhidden`},
		"\x1b[0;08mhidden":             {`\x1b[0;08mhidden`, `\x1b[0;08mhidden`},
		"\x1b[31":                      {`\x1b[31`, `\x1b[31`},
		"\x1b[\x1b[31m":                {`\x1b[` + "\x1b[31m\x1b[0m", `\x1b[`},
		"\x1b[38:2::1:2:3m":            {`\x1b[38:2::1:2:3m`, `\x1b[38:2::1:2:3m`},
		"\x1b[mplain":                  {"\x1b[mplain\x1b[0m", "plain"},
		"\x1b[?25l":                    {`\x1b[?25l`, `\x1b[?25l`},
		"\x1b[31mred\x1b[0m\x1b[32m\a": {"\x1b[31mred\x1b[0m\x1b[32m" + `\x07` + "\x1b[0m", `red\x07`},
	} {
		require.Equal(t, want[0], terminal.Colors(text, true), "%q", text)
		require.Equal(t, want[1], terminal.Colors(text, false), "%q", text)
	}
}
