// Package completion is `kre completion`, and what a shell is told when somebody presses Tab: commands and flags, and the
// names that the engine knows.
package completion

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/remote"
)

// Command is `kre completion`.
type Command struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  source <(kre completion bash)        now; in ~/.bashrc: always
  source <(kre completion zsh)         the same in ~/.zshrc
  kre completion fish | source         the same in ~/.config/fish/config.fish

Commands, flags, and the names of contexts, runtimes and versions, which the engine is asked for.`
}

// Run prints what the shell is to be told.
func (c *Command) Run(parsed *kong.Context) error {
	code := kongcompletion.Completion{Shell: c.Shell, Code: true}
	return code.Run(parsed)
}

// patience is how long somebody who has pressed Tab is kept waiting.
const patience = 2 * time.Second

// Register answers a shell that asks how a line may go on, and ends the program through parser then. It does nothing when
// none asks.
func Register(ctx context.Context, parser *kong.Kong) {
	if os.Getenv("COMP_LINE") == "" {
		return
	}
	kongcompletion.Register(parser,
		kongcompletion.WithPredictor("context", predictor(ctx, func(context.Context, line) []string { return contexts() })),
		kongcompletion.WithPredictor("runtime", predictor(ctx, runtimes)),
		kongcompletion.WithPredictor("version", predictor(ctx, versions)),
	)
}

// line is what of a command line says which engine and runtime is meant.
type line struct{ context, runtime string }

// predictor asks for names for as long as a person waits.
func predictor(ctx context.Context, names func(context.Context, line) []string) complete.Predictor {
	return complete.PredictFunc(func(args complete.Args) []string {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return names(ctx, line{flag(args.Completed, "--context"), flag(args.Completed, "--runtime")})
	})
}

// flag is the value of a flag.
func flag(args []string, name string) string {
	for i, arg := range args {
		if value, given := strings.CutPrefix(arg, name+"="); given {
			return value
		}
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func contexts() []string {
	config, err := cliconfig.Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(config.Contexts))
}

// flags are those that a command would have.
func (l line) flags() remote.RuntimeFlags {
	return remote.RuntimeFlags{Flags: remote.Flags{Context: cmp.Or(l.context, os.Getenv("KRE_CONTEXT"))}, Runtime: l.runtime}
}

// runtimes are the names of the engine's runtimes; none when it cannot be asked.
func runtimes(ctx context.Context, l line) []string {
	e, err := l.flags().Flags.Open()
	if err != nil {
		return nil
	}
	defer e.Close()
	found, err := e.AllRuntimes(ctx, "")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(found))
	for _, one := range found {
		names = append(names, remote.Last(one.GetName()))
	}
	return names
}

// versions are the names of the runtime's versions; none when it cannot be asked.
func versions(ctx context.Context, l line) []string {
	e, runtime, err := l.flags().Open()
	if err != nil {
		return nil
	}
	defer e.Close()
	found, err := e.AllVersions(ctx, runtime, "")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(found))
	for _, one := range found {
		names = append(names, remote.Last(one.GetName()))
	}
	return names
}
