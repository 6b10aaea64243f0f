// Command examples does what READMEs say: it runs the commands of their console blocks, in order, in the folder of the
// README, and compares what they print with what follows them there. It is what `make examples` calls.
//
// `kre run` goes on in the background until the README ends; what it prints is waited for. Everything is run as it is
// written but for the ports, which are free ones.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code.
func run(readmes []string) int {
	if len(readmes) == 0 {
		fmt.Fprintln(os.Stderr, "usage: examples README.md…")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code := 0
	for _, readme := range readmes {
		if err := follow(ctx, readme); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// follow does what one README says.
func follow(ctx context.Context, readme string) (err error) {
	fmt.Println(readme)
	content, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Dir(readme))
	if err != nil {
		return err
	}
	steps := parse(string(content))
	if len(steps) == 0 {
		return fmt.Errorf("%s: it says nothing that could be done: no line of a console block begins with $", readme)
	}
	shell, err := newShell(dir)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := shell.stop(); err == nil {
			err = stopErr
		}
	}()
	for _, s := range steps {
		started := time.Now()
		if err := shell.do(ctx, s); err != nil {
			return fmt.Errorf("%s:%d: %w", readme, s.line, err)
		}
		fmt.Printf("  ✓ %-100.100s %5.1f s\n", s.title(), time.Since(started).Seconds())
	}
	return nil
}
