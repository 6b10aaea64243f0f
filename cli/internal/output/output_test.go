package output_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

func runtimes() []*adminv1.Runtime {
	return []*adminv1.Runtime{
		{Name: "runtimes/a", Description: "yes", Revision: 7, State: adminv1.Runtime_READY},
		{Name: "runtimes/b", Description: "two\nlines: 'x'"},
	}
}

func TestAListIsAnArrayOfWhatTheAPIAnswers(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, output.Messages(output.Format{Output: "json"}, &out, runtimes()))
	require.JSONEq(t, `[
		{"name":"runtimes/a","description":"yes","revision":"7","state":"READY","stateReason":"","publishedVersion":"","grpcAddress":"","httpAddress":""},
		{"name":"runtimes/b","description":"two\nlines: 'x'","revision":"0","state":"STATE_UNSPECIFIED","stateReason":"","publishedVersion":"","grpcAddress":"","httpAddress":""}
	]`, out.String())
	require.Contains(t, out.String(), "[\n  {\n    \"name\": \"runtimes/a\",\n", "for people too")

	out.Reset()
	require.NoError(t, output.Messages[*adminv1.Runtime](output.Format{Output: "json"}, &out, nil))
	require.Equal(t, "[]\n", out.String())
}

func TestYAMLIsWrittenAsPeopleDoAndKeepsItsTypes(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, output.Messages(output.Format{Output: "yaml"}, &out, runtimes()[:1]))
	require.Equal(t, `- name: runtimes/a
  description: "yes"
  revision: "7"
  state: READY
  stateReason: ""
  publishedVersion: ""
  grpcAddress: ""
  httpAddress: ""
`, out.String())
}

func TestWhatGoesOnIsALineOrADocumentEach(t *testing.T) {
	var out bytes.Buffer
	for _, format := range []string{"json", "json", "yaml"} {
		require.NoError(t, output.Format{Output: format}.Next(&out, &adminv1.Documentation{Markdown: "x"}))
	}
	require.Equal(t, `{"name":"","markdown":"x"}
{"name":"","markdown":"x"}
---
name: ""
markdown: x
`, out.String())
}

func TestATableIsAlignedWhateverItsColours(t *testing.T) {
	for _, color := range []bool{false, true} {
		table := output.NewTable(look.Printer{Color: color}, "NAME", "N", "STATE").Right(1)
		table.Row(output.Plain("%s", "é"), output.Plain("%d", 7), output.Cell{Text: "READY", Color: look.Green})
		table.Row(output.Plain("%s", "longer\x1b"), output.Plain("%d", 12), output.Plain("%s", ""))
		lines := table.Lines()
		if color {
			require.Equal(t, "é            7  \x1b[32mREADY\x1b[0m", lines[1])
			continue
		}
		require.Equal(t, []string{"NAME         N  STATE", "é            7  READY", `longer\x1b  12`}, lines)
	}
}

func TestAColumnThatIsOptionalIsThereWhenItHasSomethingToSay(t *testing.T) {
	table := output.NewTable(look.Printer{}, "NAME", "WAITING", "OLDEST", "WHY").Right(1, 2).Optional(1, 2)
	table.Row(output.Plain("a"), output.Number(0), output.Waited(nil), output.Plain("x"))
	require.Equal(t, []string{"NAME  WHY", "a     x"}, table.Lines())
	table.Row(output.Plain("b"), output.Number(1234567), output.Waited(nil), output.Plain("y"))
	require.Equal(t, []string{"NAME    WAITING  WHY", "a                x", "b     1,234,567  y"}, table.Lines())
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "", 1: "1", 999: "999", 1000: "1,000", 41234567: "41,234,567"} {
		require.Equal(t, want, output.Number(n).Text)
	}
	require.Empty(t, output.Waited(nil).Text, "nothing waits")
	require.Equal(t, "0 ms", output.Waited(durationpb.New(0)).Text)
	require.Equal(t, "3.4 s", output.Waited(durationpb.New(3400*time.Millisecond)).Text)
}

func TestTimesForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 90 * time.Second: "90 s", 90 * time.Minute: "90 min", 30 * time.Hour: "30 h", 72 * time.Hour: "3 d",
	} {
		require.Equal(t, want, output.Duration(d))
	}
	require.Empty(t, output.Age(nil))
	require.Empty(t, output.Clock(nil))
}

func TestPairsWithoutAValueAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	output.Pairs(look.Printer{Out: &out}, "a", "1", "a long name that has none", "", "longer", "2")
	require.Equal(t, "a       1\nlonger  2\n", out.String())
}

func TestNothingThatOthersHaveWrittenActsOnATerminal(t *testing.T) {
	hostile := terminaltest.Hostile()
	fields, err := structpb.NewStruct(map[string]any{hostile: []any{hostile, "two\nlines " + hostile}})
	require.NoError(t, err)
	entry := &adminv1.LogEntry{Node: hostile, Message: hostile, RequestId: "\u202e", Fields: fields}
	for _, format := range []string{"json", "yaml"} {
		var all, next bytes.Buffer
		require.NoError(t, output.Messages(output.Format{Output: format}, &all, []*adminv1.LogEntry{entry}))
		require.NoError(t, output.Format{Output: format}.Next(&next, entry))
		terminaltest.Harmless(t, all.String(), false)
		terminaltest.Harmless(t, next.String(), false)
		var read struct {
			Node, Message string
			Fields        map[string][]string
		}
		if format == "json" {
			require.NoError(t, json.Unmarshal(next.Bytes(), &read))
		} else {
			require.NoError(t, yaml.Unmarshal(next.Bytes(), &read))
		}
		require.Equal(t, hostile, read.Message, "it says the same")
		require.Equal(t, map[string][]string{hostile: {hostile, "two\nlines " + hostile}}, read.Fields)
	}

	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		p := look.Printer{Out: &out, Color: color}
		table := output.NewTable(p, "NAME", "WHY")
		table.Row(output.Plain("%s", hostile), output.Cell{Text: hostile + "\n" + hostile, Color: look.Red})
		table.Print()
		output.Pairs(p, "why", hostile)
		terminaltest.Harmless(t, out.String(), color)
	}
}
