// Package boot runs the main function of a deployable: flags and environment from one struct, a logger, a context that
// a signal cancels, an ordered shutdown, and the exit code. It knows nothing of what the program does.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/heap"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// Exit codes of a program.
const (
	ExitOK     = 0   // it ended because it was told to, or because its work was done
	ExitFailed = 1   // it could not start or could not go on
	ExitUsage  = 2   // flags or environment were wrong
	ExitForced = 130 // a second signal ended it before its shutdown was over
)

// Run is what a program does: it opens what it needs, calls process.Ready, and returns nil once ctx is cancelled or
// its work is done. What it opened it closes in functions given to process.OnStop.
type Run[C any] func(ctx context.Context, process *Process, config C) error

// Main runs the program name and ends the process. C is a struct with kong tags, every field of which has an `env`
// tag, so that flags and environment are one list; a field tagged `secret:""` is never printed, and of one tagged
// `secret:"url"` the user and password are left out. Call it from main only.
//
// The first SIGTERM or SIGINT cancels the context, the second ends the process at once.
func Main[C any](name, description string, run Run[C]) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	env := environment{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, signals: signals, exit: os.Exit}
	env.exit(start(env, name, description, run))
}

// heapFloor is how much a service allocates at least between two collections: its live heap is small, its garbage is not.
const heapFloor = 32 << 20

// environment is what a process gets from the outside.
type environment struct {
	args           []string
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	exit           func(code int)
}

// misused tells a person, before there is a logger, what is wrong with flags or environment.
func (e environment) misused(name string, err error) int {
	_, _ = fmt.Fprintf(e.stderr, "%s: %v\nTry %s --help.\n", name, err, name) // there is nobody else to tell
	return ExitUsage
}

// line is the whole command line: what every program has, and its own.
type line[C any] struct {
	Log       log.Flags       `embed:""`
	Telemetry telemetry.Flags `embed:""`
	ReadyFile string          `help:"File that exists while the program is ready." env:"KRE_READY_FILE" placeholder:"PATH"`
	Probe     bool            `help:"Ask the program that runs with this configuration whether it is ready, and exit with 0 or 1." env:"KRE_PROBE"`
	Config    C               `embed:""`
}

func start[C any](env environment, name, description string, run Run[C]) int {
	var flags line[C]
	ended := -1
	parser, err := kong.New(&flags, kong.Name(name), kong.Description(description), kong.UsageOnError(), kong.Resolvers(kong.ResolverFunc(fromFiles)),
		kong.Writers(env.stdout, env.stderr), kong.Exit(func(code int) { ended = code }))
	if err != nil {
		return env.misused(name, err)
	}
	_, err = parser.Parse(env.args)
	if ended >= 0 { // --help was printed
		return ended
	}
	if err != nil {
		return env.misused(name, err)
	}
	if flags.Probe {
		if err := probe(flags.Telemetry.MetricsAddr); err != nil {
			_, _ = fmt.Fprintf(env.stderr, "%s: %v\n", name, err) // there is nobody else to tell
			return ExitFailed
		}
		return ExitOK
	}
	logger, err := log.NewWriter(flags.Log, env.stdout)
	if err != nil {
		return env.misused(name, err)
	}
	logger = logger.Named(name)
	logger.Info("starting", zap.Any("config", effective(parser.Model)))

	defer heap.Floor(heapFloor)()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	process := &Process{Logger: logger, readyFile: flags.ReadyFile}
	process.removeReadyFile() // an earlier process may have left it
	observed, err := observe(ctx, process, name, flags.Telemetry)
	if err != nil {
		logger.Error("ended", log.Error(err))
		return ExitFailed
	}
	watched := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(watched)
		watch(env, process, cancel, over)
	}()
	err = run(ctx, process, flags.Config)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	process.stop()
	observed()
	close(over)
	<-watched
	if err != nil {
		logger.Error("ended", log.Error(err))
		return ExitFailed
	}
	logger.Info("ended")
	return ExitOK
}

// watch cancels the context at the first signal and ends the process at the second.
func watch(env environment, process *Process, cancel context.CancelFunc, over <-chan struct{}) {
	select {
	case got := <-env.signals:
		process.Logger.Info("stopping", zap.Stringer("signal", got))
		process.beginStop()
		cancel()
	case <-over:
		return
	}
	select {
	case got := <-env.signals:
		process.Logger.Warn("ending at once: second signal", zap.Stringer("signal", got))
		env.exit(ExitForced)
	case <-over:
	}
}
