package kre

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
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
	log := logline.New(out, process.Log())
	if err == nil {
		err = a.check()
	}
	if err == nil {
		n := &node{root: process.Package, log: log}
		err = engine.Run(ctx, engine.Options{
			Process: process,
			Log:     log,
			Hands: engine.NewInProcess(
				func(ctx context.Context) error { return a.load(ctx, n) },
				func(ctx context.Context, x *exchange.Exchange) error { return a.handle(ctx, n, x) },
			),
		})
	}
	if err != nil {
		log.Write(logline.Record{Level: logline.Error, Message: "the node ends", Err: err.Error()})
		return 1
	}
	return 0
}
