package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// leaves are the commands that do something, by what a person types.
func leaves(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Vars{"version": "x"})
	require.NoError(t, err)
	found := make(map[string]*kong.Node)
	for _, leaf := range parser.Model.Leaves(true) {
		var words []string
		for node := leaf; node.Type == kong.CommandNode; node = node.Parent {
			words = append([]string{node.Name}, words...)
		}
		found[strings.Join(words, " ")] = leaf
	}
	return found
}

func TestEveryCommandHasHelpAndAnExampleOfItself(t *testing.T) {
	all := leaves(t)
	require.Greater(t, len(all), 40)
	for command, node := range all {
		t.Run(command, func(t *testing.T) {
			require.NotEmpty(t, node.Help)
			require.Contains(t, node.Detail, "Examples:")
			require.Contains(t, node.Detail, "kre "+command)
			for _, flag := range node.Flags {
				require.NotEmpty(t, flag.Help, "--%s", flag.Name)
			}
			for _, argument := range node.Positional {
				require.NotEmpty(t, argument.Help, argument.Name)
			}
			code, out, errs := line(t.Context(), append(strings.Fields(command), "--help")...)
			require.Equal(t, exitOK, code)
			require.Empty(t, errs)
			require.Contains(t, out, "Usage: kre "+command)
		})
	}
}

func TestProgramsCanReadWhateverACommandOfAnEngineAnswers(t *testing.T) {
	for command, node := range leaves(t) {
		switch first, _, _ := strings.Cut(command, " "); first {
		case "login", "context", "runtime", "version", "logs", "status":
			require.True(t, slices.ContainsFunc(node.Flags, func(flag *kong.Flag) bool { return flag.Name == "output" }), command)
		}
	}
}

func TestEveryCommandOfAnEngineTakesAnotherContextAndSaysWhatToDoWithoutOne(t *testing.T) {
	t.Setenv("KRE_CONFIG_DIR", t.TempDir())
	t.Setenv("KRE_CONTEXT", "")
	count := 0
	for command, node := range leaves(t) {
		ofEngine := false
		for _, flag := range node.Flags {
			ofEngine = ofEngine || flag.Name == "context"
		}
		if !ofEngine {
			continue
		}
		count++
		args := strings.Fields(command)
		for _, argument := range node.Positional {
			if argument.Required {
				args = append(args, "name")
			}
		}
		switch command {
		case "runtime update":
			args = append(args, "--description=x")
		case "runtime delete":
			args = append(args, "--confirm=name")
		case "version config set":
			args = append(args, "KEY=VALUE")
		case "version config import":
			args = append(args, "/dev/null")
		}
		code, out, errs := line(t.Context(), args...)
		require.Equal(t, exitFailed, code, "%s: %s", command, errs)
		require.Empty(t, out, command)
		require.Equal(t, "kre: which engine? none is known here\n"+
			"kre up runs the engine on this machine; kre login ADDRESS connects to another one.\n", errs, command)
		_, _, errs = line(t.Context(), append(args, "--context=prod")...)
		require.Contains(t, errs, "there is no context prod\n", command)
	}
	require.Greater(t, count, 20)
}
