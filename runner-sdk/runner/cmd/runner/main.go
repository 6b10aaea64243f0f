// Command runner is the first process of a node that is not written with the Go SDK: it speaks to NATS, and hands the
// node's messages to a worker, which it starts.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/runner/internal/metrics"
	"github.com/konstellation-io/kre/runner-sdk/runner/internal/worker"
)

const usage = `runner is the first process of a node: it takes the node's messages from NATS and hands them to a worker.

Usage:
  runner -- COMMAND [ARGUMENT...]

COMMAND is started as the worker; it speaks the worker protocol over the socket that KRE_WORKER_FD names.

Examples:
  runner -- python -m kre                a node in Python
  runner -- bin/node                     any other program that speaks the protocol

What the platform sets:
  KRE_CONFIG         path of the node's configuration
  KRE_NATS_URL       broker; several, separated by commas
  KRE_NATS_CREDS     NATS credentials file
  KRE_PACKAGE        root of the unpacked package (the working directory)
  KRE_READY_FILE     a file that is there while the node is ready
  KRE_LOG_FORMAT     json (default) or text
  KRE_LOG_LEVEL      debug, info (default), warn or error
  KRE_METRICS_ADDR   address to serve /metrics, /healthz and /readyz on; empty: none

SIGTERM ends the node when it has finished what it runs. SIGHUP replaces the worker: another one is started, and takes over
when it is ready. What came of it is written to the file <ready file>.replaced: what the file <ready file>.replace held, and
on the next line "ok", or why it was not.
`

func main() {
	command, code := arguments(os.Args[1:])
	if command == nil {
		os.Exit(code)
	}
	// Its work is a few system calls a message: threads that wake each other cost more than they bring.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code = run(ctx, command)
	stop()
	os.Exit(code)
}

// arguments returns the worker's command, or the code to end with.
func arguments(args []string) (command []string, code int) {
	const misused = 2
	switch {
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Print(usage)
		return nil, 0
	case len(args) > 1 && args[0] == "--":
		return args[1:], 0
	case len(args) > 0 && args[0] != "--":
		fmt.Fprintf(os.Stderr, "runner: unexpected %q: the worker's command follows --\n\n%s", args[0], usage)
	default:
		fmt.Fprintf(os.Stderr, "runner: the worker's command is missing\n\n%s", usage)
	}
	return nil, misused
}

func run(ctx context.Context, command []string) int {
	process, err := config.Read(os.Getenv)
	log := logline.New(os.Stdout, process.Log())
	if err == nil {
		err = deliver(ctx, command, process, log)
	}
	if err == nil {
		return 0
	}
	log.Write(logline.Record{Level: logline.Error, Message: "the node ends", Err: err.Error()})
	if ended, ok := errors.AsType[*worker.EndedError](err); ok && ended.Code != 0 {
		return ended.Code
	}
	return 1
}

// deliver hands the node's messages to a worker until ctx ends.
func deliver(ctx context.Context, command []string, process config.Process, log *logline.Log) error {
	hands := worker.Options{
		Command: command, Dir: process.Package, Env: os.Environ(), Node: process.Node, Package: process.Package, Log: log,
		Stderr: func(line []byte) { _, _ = os.Stderr.Write(append(line, '\n')) }, // nobody could be told
	}
	options := engine.Options{Process: process, Log: log}
	if address := os.Getenv("KRE_METRICS_ADDR"); address != "" {
		figures := metrics.New(process.Node)
		if err := figures.Serve(address, process.ReadyFile, log); err != nil {
			return err
		}
		options.Observer, hands.Died = figures, figures.Died
	}
	w := worker.New(hands)
	go replace(w, process.ReadyFile, log)
	options.Hands = w
	return engine.Run(ctx, options)
}

// What is put behind the ready file's name for two more files: one in which whoever wants a replacement may put something
// to know it by, and one that tells what came of it.
const (
	replaceSuffix  = ".replace"
	replacedSuffix = ".replaced"
)

// replace replaces the worker each time the process is told to, as long as the process lives.
func replace(hands *worker.Worker, readyFile string, log *logline.Log) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	for range told {
		by := ""
		if content, err := os.ReadFile(readyFile + replaceSuffix); err == nil {
			by = string(content)
		}
		outcome := "ok"
		if err := hands.Replace(); err != nil {
			outcome = err.Error()
		}
		if readyFile == "" {
			log.Printf(logline.Info, "replacing the worker: %s", outcome)
			continue
		}
		if err := writeWhole(readyFile+replacedSuffix, by+"\n"+outcome); err != nil {
			log.Write(logline.Record{Level: logline.Error, Message: "what came of a replacement cannot be told", Err: err.Error()})
		}
	}
}

// writeWhole writes a file that appears with all of its content.
func writeWhole(file, content string) error {
	partial := file + ".part"
	if err := os.WriteFile(partial, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, file)
}
