package run

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/kit/proc"
)

func TestALineIsLeftOutOnlyWhereAPersonIsToldOtherwise(t *testing.T) {
	const failedInNode = `{"level":"warn","message":"call","error":"model: no such word","code":"Internal"}`
	tests := map[string]struct {
		verbose, json bool
		line          proc.Line
		want          bool
	}{
		"a node says that it is ready":   {false, false, proc.Line{Name: "model", Text: `{"level":"info","message":"ready"}`}, false},
		"which is shown to who asks":     {true, false, proc.Line{Name: "model", Text: `{"level":"info","message":"ready"}`}, true},
		"and passed on to programs":      {false, true, proc.Line{Name: "model", Text: `{"level":"info","message":"ready"}`}, true},
		"a node says more":               {false, false, proc.Line{Name: "model", Text: `{"level":"info","message":"ready for lunch"}`}, true},
		"a node prints":                  {false, false, proc.Line{Name: "model", Text: `ready`}, true},
		"a call failed in a node":        {false, false, proc.Line{Name: "entrypoint", Text: failedInNode}, false},
		"a call failed in a node, asked": {true, false, proc.Line{Name: "entrypoint", Text: failedInNode}, true},
		"a call failed on its way":       {false, false, proc.Line{Name: "entrypoint", Text: `{"level":"warn","message":"call","error":"no answer within 30s: it goes on"}`}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			o := newObserver(test.verbose, test.json)
			o.screen = screen.New(screen.Options{Out: &out, JSON: test.json})
			o.expect("model", "model", 1)
			o.Printed(test.line)
			require.Equal(t, test.want, out.Len() > 0)
		})
	}
}

func TestOnceTheEndIsWantedDeathsAndOurOwnProgramsAreNoNews(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(false, false)
	o.screen = screen.New(screen.Options{Out: &out})
	o.expect("model", "model", 1)
	o.hush()
	o.Changed(proc.Event{Name: "model", State: proc.Exited})
	o.Printed(proc.Line{Name: "entrypoint", Text: "going"})
	require.Empty(t, out.String())
	o.Printed(proc.Line{Name: "model", Text: "bye"})
	require.Contains(t, out.String(), "bye")
}
