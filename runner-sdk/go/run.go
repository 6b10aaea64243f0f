package kre

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/config"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/runner"
)

// runAndExit runs the node and ends the process: with code 0 after it was told to end, else with 1.
func (a *app) runAndExit() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := a.run(ctx, os.Getenv, os.Stdout)
	stop()
	os.Exit(code)
}

func (a *app) run(ctx context.Context, getenv func(string) string, out io.Writer) int {
	process, err := config.Read(getenv)
	log := logline.New(out, process.TextLog, logline.Origin{
		Version: process.Node.Version, Workflow: process.Node.Workflow, Node: process.Node.Name,
	})
	if err == nil {
		err = a.check()
	}
	if err == nil {
		n := &node{root: process.Package, log: log}
		err = runner.Run(ctx, runner.Options{
			Process: process,
			Log:     log,
			Init:    func(ctx context.Context) error { return a.load(ctx, n) },
			Handle:  func(ctx context.Context, x *exchange.Exchange) error { return a.handle(ctx, n, x) },
		})
	}
	if err != nil {
		log.Write(logline.Record{Level: logline.Error, Message: "the node ends", Err: err.Error()})
		return 1
	}
	return 0
}
