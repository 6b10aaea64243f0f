// Command demo is what `make run` calls after building: it trains and packs the price estimator, brings the engine up,
// publishes and calls it there, prints how to call it again, and waits. With ONCE=1 in its environment it ends after the calls; its exit code tells whether all
// went well.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run returns the exit code: 130 where Ctrl-C came before everything was done, as for any program.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := newDemo().run(ctx, os.Getenv("ONCE") == "1")
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	default:
		fmt.Fprintln(os.Stderr, "make run:", err)
		return 1
	}
}
