package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindsCommandsAndWhatTheyPrint(t *testing.T) {
	readme := "# Title\n\n```console\n$ make train\n120 e-mails\n$ curl one \\\n    two\n{}\n```\n\n```\n$ not this\n```\n\n```log\nsaid\n```\n"
	require.Equal(t, []step{
		{line: 4, command: "make train", want: []string{"120 e-mails"}},
		{line: 6, command: "curl one \\\n    two", want: []string{"{}"}},
		{line: 16, want: []string{"said"}},
	}, parse(readme))
}

func TestComparesWhatIsPrinted(t *testing.T) {
	tests := map[string]struct {
		want, line string
		same       bool
	}{
		"the same":             {"said", "said", true},
		"something else":       {"said", "sad", false},
		"anything":             {"ticket … of Ada", "ticket 7f of Ada", true},
		"blanks in JSON":       {`{"a":1,"b":"x y"}`, `{"a": 1, "b": "x y"}`, true},
		"text in JSON":         {`{"a":"x y"}`, `{"a":"xy"}`, false},
		"a number nearby":      {`{"price":4428}`, `{"price":4431}`, true},
		"a number far away":    {`{"price":4428}`, `{"price":5428}`, false},
		"a large number":       {"53,940 diamonds", "53,940 diamonds", true},
		"a time":               {"11 passed in 4.21s", "11 passed in 9.87s", true},
		"a count":              {"11 passed in 4.21s", "10 passed in 4.21s", false},
		"a share":              {"accuracy 0.89", "accuracy 0.91", true},
		"another share":        {"accuracy 0.89", "accuracy 0.49", false},
		"signs of expressions": {"a.b (c)?", "a.b (c)?", true},
		"no expression":        {"a.b", "axb", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.same, matches(test.want, test.line)) })
	}
}

func TestTellsWhichLinesAreMissing(t *testing.T) {
	require.Equal(t, []string{"three"}, missing([]string{"one", "three"}, "two\none\n"))
}
