// Command demo is what `make run` calls after building: it trains, packs, runs and calls the price estimator, prints how
// to call it again, and waits. With ONCE=1 in its environment it ends after the calls; its exit code tells whether all
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := newDemo().run(ctx, os.Getenv("ONCE") == "1")
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}
