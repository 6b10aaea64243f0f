package screen_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
)

func show(o screen.Options, do func(s *screen.Screen)) string {
	var out bytes.Buffer
	o.Out = &out
	do(screen.New(o))
	return out.String()
}

func TestLogLinesAreRenderedForPeople(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"a failed handler": {
			`{"time":"t","level":"error","node":"greet","message":"handler failed","request_id":"01JD8ABCDEF","where":"src/greet/main.py:7","error":"KeyError: 'nmae'","attempt":1}`,
			"greet  ERROR ABCDEF src/greet/main.py:7 KeyError: 'nmae' attempt 1/1\n",
		},
		"a failed attempt of a worker": {
			`{"time":"t","level":"error","message":"attempt 2 of 5 failed","version":"v1","workflow":"w","node":"greet","request_id":"01JD8ABCDEF","message_id":"m","attempt":2,` +
				`"error":"KeyError: 'nmae'","where":"src/greet/main.py:7","stack":"Traceback (most recent call last):\n  File \"src/greet/main.py\", line 7, in greet\n    names['nmae']\nKeyError: 'nmae'\n"}`,
			"greet  ERROR ABCDEF src/greet/main.py:7 KeyError: 'nmae' attempt 2/5\n",
		},
		"one that failed further down": {
			`{"level":"error","message":"attempt 1 of 1 failed","request_id":"01JD8ABCDEF","attempt":1,"error":"no","where":"src/a.py:2",` +
				`"stack":"Traceback (most recent call last):\n  File \"src/main.py\", line 1, in f\n    g()\n  File \"src/a.py\", line 2, in g\n    no()\nno\n"}`,
			"greet  ERROR ABCDEF src/a.py:2 no attempt 1/1\n" +
				"         Traceback (most recent call last):\n           File \"src/main.py\", line 1, in f\n             g()\n" +
				"           File \"src/a.py\", line 2, in g\n             no()\n         no\n",
		},
		"a failed attempt of Go": {
			`{"level":"error","message":"attempt 1 of 5 failed","version":"v1","workflow":"w","node":"greet","request_id":"01JD8ABCDEF","message_id":"m","attempt":1,"error":"no such word"}`,
			"greet  ERROR ABCDEF no such word attempt 1/5\n",
		},
		"one that panicked": {
			`{"level":"error","message":"attempt 1 of 1 failed","request_id":"01JD8ABCDEF","attempt":1,"error":"panic: no","where":"main.go:3","stack":"main.greet\n\tmain.go:3\n"}`,
			"greet  ERROR ABCDEF main.go:3 panic: no attempt 1/1\n         main.greet\n         \tmain.go:3\n",
		},
		"somebody else's words": {`{"level":"warn","message":"attempt 1 of 5 failed"}`, "greet  WARN attempt 1 of 5 failed\n"},
		"an empty line":         {`{"level":"info","message":""}`, "greet  INFO\n"},
		"a message":             {`{"level":"info","message":"hello"}`, "greet  INFO hello\n"},
		"an error":              {`{"level":"warn","message":"cannot send","error":"too large"}`, "greet  WARN cannot send: too large\n"},
		"fields are sorted":     {`{"level":"info","message":"m","b":"x y","a":12345678901234567890,"c":{"d":1}}`, "greet  INFO m a=12345678901234567890 b=\"x y\" c={\"d\":1}\n"},
		"a stack":               {`{"level":"error","message":"m","error":"e","stack":"one\n  two\n"}`, "greet  ERROR m: e\n         one\n           two\n"},
		"several lines":         {`{"level":"info","message":"one\ntwo"}`, "greet  INFO one\n         two\n"},
		"raw text":              {`hello {"a":1}`, "greet  hello {\"a\":1}\n"},
		"JSON of a node":        {`{"price": 3}`, "greet  {\"price\": 3}\n"},
		"broken JSON":           {`{"level":"info","message":`, "greet  {\"level\":\"info\",\"message\":\n"},
		"nothing":               {``, "greet\n"},
		"no cursor is moved": {
			"a\x1b[2Jb\x07c\x1b[31mred\x1b[0m\td", `greet  a\x1b[2Jb\x07cred` + "\td\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := show(screen.Options{Attempts: func(string) int { return 1 }}, func(s *screen.Screen) {
				s.Names("greet")
				s.Log("greet", test.line)
			})
			require.Equal(t, test.want, got)
		})
	}
}

func TestNamesAreAlignedUnlessOneIsVeryLong(t *testing.T) {
	got := show(screen.Options{}, func(s *screen.Screen) {
		s.Names("etl", "output", strings.Repeat("x", 30))
		s.Log("etl", "a")
		s.Log(strings.Repeat("x", 30), "b")
		s.Say("output", "ready")
	})
	require.Equal(t, "etl     a\n"+strings.Repeat("x", 30)+"  b\noutput  ready\n", got)
}

func TestColoursTellNamesAndLevelsApart(t *testing.T) {
	got := show(screen.Options{Color: true}, func(s *screen.Screen) {
		s.Names("a", "b")
		s.Log("a", `{"level":"error","message":"m"}`)
		s.Fail("b", "bad")
	})
	require.Equal(t, "\x1b[36ma\x1b[0m  \x1b[31mERROR\x1b[0m m\n\x1b[35mb\x1b[0m  \x1b[31mbad\x1b[0m\n", got)
}

func TestInJSONLinesArePassedOnAndNoticesAreSuchLines(t *testing.T) {
	got := show(screen.Options{JSON: true}, func(s *screen.Screen) {
		s.Names("greet")
		s.Log("greet", `{"level":"info","message":"m"}`)
		s.Say("greet", "ready")
	})
	const passedOn = `{"level":"info","message":"m"}` + "\n"
	require.True(t, strings.HasPrefix(got, passedOn))
	var notice map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(got, passedOn)), &notice))
	delete(notice, "time")
	require.Equal(t, map[string]any{"level": "info", "message": "ready", "logger": "kre", "about": "greet"}, notice)
}

func TestNothingThatANodePrintsActsOnATerminal(t *testing.T) {
	hostile := terminaltest.Hostile()
	record := func(fields map[string]any) string {
		all := map[string]any{"level": "error", "message": "m"}
		maps.Copy(all, fields)
		line, err := json.Marshal(all)
		require.NoError(t, err)
		return string(line)
	}
	lines := []string{
		hostile, hostile + "\x9b31m\xff", hostile + "\r", `{"level":"` + hostile, "{\"level\":\"info\",\"message\":\"\u009b2J\u202e\"}\r",
		record(map[string]any{"level": hostile}), record(map[string]any{"message": hostile + "\r\n" + hostile}),
		record(map[string]any{"request_id": hostile}), record(map[string]any{"where": hostile}), record(map[string]any{"error": hostile}),
		record(map[string]any{"stack": hostile + "\n" + hostile, "error": hostile}),
		record(map[string]any{hostile: hostile, "n": map[string]any{hostile: []string{hostile}}}),
	}
	for _, line := range lines {
		for _, o := range []screen.Options{{}, {Color: true}, {JSON: true}} {
			terminaltest.Harmless(t, show(o, func(s *screen.Screen) {
				s.Log("greet", line)
				s.Log(hostile, line)
				s.Say(hostile, "%s", line)
				s.Fail("greet", "it said last: %s", line)
			}), o.Color)
		}
		terminaltest.Harmless(t, strings.Join(screen.Render(line), "\n"), false)
	}
}

func TestColoursOfANodeEndWithItsLine(t *testing.T) {
	line := "\x1b[31mred"
	require.Equal(t, "\x1b[36ma\x1b[0m  \x1b[31mred\x1b[0m\n", show(screen.Options{Color: true}, func(s *screen.Screen) { s.Log("a", line) }))
	require.Equal(t, "a  red\n", show(screen.Options{}, func(s *screen.Screen) { s.Log("a", line) }))
}

func TestInJSONALineSaysTheSame(t *testing.T) {
	line, err := json.Marshal(map[string]string{"message": terminaltest.Hostile()})
	require.NoError(t, err)
	require.JSONEq(t, string(line), show(screen.Options{JSON: true}, func(s *screen.Screen) { s.Log("a", string(line)) }))
}
