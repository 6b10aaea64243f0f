// Command kre writes, checks, packs, runs and calls versions of the Konstellation Runtime Engine on this machine, runs the
// engine itself, and tells it, here or elsewhere, what to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/konstellation-io/kre/cli/internal/call"
	"github.com/konstellation-io/kre/cli/internal/completion"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/contexts"
	"github.com/konstellation-io/kre/cli/internal/generate"
	"github.com/konstellation-io/kre/cli/internal/guard"
	"github.com/konstellation-io/kre/cli/internal/initproject"
	"github.com/konstellation-io/kre/cli/internal/inspect"
	"github.com/konstellation-io/kre/cli/internal/logs"
	"github.com/konstellation-io/kre/cli/internal/overview"
	"github.com/konstellation-io/kre/cli/internal/pack"
	"github.com/konstellation-io/kre/cli/internal/run"
	"github.com/konstellation-io/kre/cli/internal/runtimes"
	"github.com/konstellation-io/kre/cli/internal/store"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/cli/internal/up"
	"github.com/konstellation-io/kre/cli/internal/validate"
	"github.com/konstellation-io/kre/cli/internal/versions"
	"github.com/konstellation-io/kre/kit/proc"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // what was asked for could not be done
	exitUsage       = 2   // the command line is wrong
	exitInterrupted = 130 // Ctrl-C came before it was done
)

// commands is the command line.
type commands struct {
	Init     initproject.Command `cmd:"" help:"Make a project that runs at once."`
	Validate validate.Command    `cmd:"" help:"Check a manifest and what it names; all complaints at once."`
	Run      run.Command         `cmd:"" help:"Run a version on this machine and reload what is saved."`
	Call     call.Command        `cmd:"" help:"Call an rpc of a running version with JSON."`
	Generate generate.Command    `cmd:"" help:"Write the Python and Go code of the protos."`
	Pack     pack.Command        `cmd:"" help:"Pack a project into a .krt file."`
	Inspect  inspect.Command     `cmd:"" help:"Show what is in a project or a .krt file: graph, files, digest."`

	Up    up.Command    `cmd:"" help:"Run the whole engine on this machine."`
	Store store.Command `cmd:"" help:"Serve one embedded store, or make what stores and services need to know."`

	Login      contexts.Login     `cmd:"" help:"Connect to an engine elsewhere."`
	Context    contexts.Command   `cmd:"" help:"The engines that are known, and which one is meant."`
	Runtime    runtimes.Command   `cmd:"" help:"Runtimes: isolated places that hold versions."`
	Version    versions.Command   `cmd:"" help:"Versions of a runtime, from the package to the published one and back."`
	Logs       logs.Command       `cmd:"" help:"Show what a version writes."`
	Status     overview.Command   `cmd:"" help:"Show what runs, what is published, what waits, and which nodes are in trouble."`
	Completion completion.Command `cmd:"" help:"Print what makes a shell complete kre's command lines."`

	ThisVersion kong.VersionFlag `name:"version" help:"Print the version of kre and end."`
}

const description = `Versions of the Konstellation Runtime Engine, on this machine and in an engine.

A version is a graph of small programs that answers requests: krt.yml names them, a .proto says what goes in and out.

  kre init demo                        a project that runs at once
  kre run demo                         run it here; saved files are reloaded
  kre call Greet '{"name":"Ada"}'      call it; shows where the time went
  kre validate demo                    what is wrong with it, all at once
  kre pack demo                        one file that runs anywhere
  kre up                               the engine, which runs such files and answers for them

  kre runtime create prices            a place for versions in the engine
  kre version create demo              a version of a project; then config set, start, publish
  kre status                           what runs, what is published, what waits, what is in trouble

kre COMMAND --help tells more about each.`

func main() {
	if len(os.Args) == 2 && os.Args[1] == guard.Argument {
		proc.Guard(os.Stdin)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// From the second signal on they do what they do to any program; run takes them itself.
	context.AfterFunc(ctx, stop)
	os.Exit(start(ctx, os.Args[1:], &console.Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func start(ctx context.Context, args []string, con *console.Console) int {
	var line commands
	stderr := con.Err
	ended := -1
	parser, err := kong.New(&line,
		kong.Name("kre"), kong.Description(description), kong.Writers(con.Out, con.Err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(con),
		kong.Exit(func(code int) { ended = code }),
	)
	if err != nil {
		complain(stderr, err)
		return exitUsage
	}
	if completion.Register(ctx, parser); ended >= 0 { // a shell has asked how a line may go on
		return ended
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if ended >= 0 { // help or version was printed
		return ended
	}
	if err != nil {
		complain(stderr, err)
		fmt.Fprintln(stderr, "Try kre --help.") //nolint:errcheck // nobody is left to be told
		return exitUsage
	}
	err = command.Run()
	if ended >= 0 {
		return ended
	}
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return exitInterrupted
		}
		complain(stderr, err)
		return exitFailed
	}
	return exitOK
}

// complain writes an error as all of kre's errors are written. What others have written may be in it.
func complain(stderr io.Writer, err error) {
	fmt.Fprintf(stderr, "kre: %s\n", terminal.Lines(strings.TrimRight(err.Error(), "\n"))) //nolint:errcheck // nobody is left to be told
}

// version is what the Go toolchain knows about this build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "kre (unknown build)"
	}
	text := "kre " + info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			text += " " + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return text
}
