package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
)

func line(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = start(ctx, args, &console.Console{In: strings.NewReader(""), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

func TestHelpListsTheCommandsAndTeaches(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}} {
		code, out, errs := line(t.Context(), args...)
		require.Equal(t, exitOK, code)
		require.Empty(t, errs)
		for _, command := range []string{
			"init", "validate", "pack", "inspect", "run", "generate", "call", "up", "login", "context", "runtime", "version", "logs", "status", "completion",
		} {
			require.Regexp(t, `(?m)^  `+command+` +[A-Z]`, out)
		}
		require.Contains(t, out, "kre run demo")
	}
}

func TestTheVersionIsPrinted(t *testing.T) {
	code, out, _ := line(t.Context(), "--version")
	require.Equal(t, exitOK, code)
	require.Regexp(t, `^kre `, out)
}

func TestAWrongCommandLineEndsWithTwo(t *testing.T) {
	code, out, errs := line(t.Context(), "validat")
	require.Equal(t, exitUsage, code)
	require.Empty(t, out)
	require.Equal(t, "kre: unexpected argument validat, did you mean \"validate\"?\nTry kre --help.\n", errs)
}

func TestWhatCannotBeDoneEndsWithOneAndOneComplaint(t *testing.T) {
	code, _, errs := line(t.Context(), "inspect", t.TempDir()+"/none")
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `^kre: .*none`, errs)
}

func TestAnErrorOfSeveralLinesIsOneComplaint(t *testing.T) {
	var out bytes.Buffer
	complain(&out, errors.New("one\n  two"))
	require.Equal(t, "kre: one\n  two\n", out.String())
}

func TestNoComplaintActsOnATerminal(t *testing.T) {
	var out bytes.Buffer
	complain(&out, errors.New("node a said last: "+terminaltest.Hostile()+"\n"+terminaltest.Hostile()))
	terminaltest.Harmless(t, out.String(), false)
}
