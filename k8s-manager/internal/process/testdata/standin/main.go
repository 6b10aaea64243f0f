// Command standin stands in for runtime-api, the entrypoint and the process of a stable address, whichever name it is
// started by: it listens where they would, says that it is ready, and ends when it is told to. As the runner it becomes its
// worker.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/konstellation-io/kre/kit/socket"
)

func main() {
	if filepath.Base(os.Args[0]) == "runner" {
		worker := os.Args[2:] // after --
		fmt.Fprintln(os.Stderr, syscall.Exec(worker[0], worker, os.Environ()))
		os.Exit(126)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	for _, name := range []string{"KRE_GRPC_ADDR", "KRE_HTTP_ADDR"} {
		if addr := os.Getenv(name); addr != "" {
			listener, err := socket.Listen(addr)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			defer listener.Close()
		}
	}
	follow := func() {}
	if filepath.Base(os.Args[0]) == "address" {
		follow = func() {
			content, err := os.ReadFile(os.Getenv("KRE_ADDRESS_FILE"))
			if err != nil {
				content = []byte("{}")
			}
			if ack, err := os.ReadFile(os.Getenv("KRE_ADDRESS_ACK_FILE")); err != nil || !bytes.Equal(ack, content) {
				if os.WriteFile(os.Getenv("KRE_ADDRESS_ACK_FILE")+".new", content, 0o600) == nil {
					_ = os.Rename(os.Getenv("KRE_ADDRESS_ACK_FILE")+".new", os.Getenv("KRE_ADDRESS_ACK_FILE"))
				}
			}
		}
	}
	follow()
	if err := os.WriteFile(os.Getenv("KRE_READY_FILE"), nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		select {
		case <-told:
			_ = os.Remove(os.Getenv("KRE_READY_FILE"))
			return
		case <-time.After(10 * time.Millisecond):
			follow()
		}
	}
}
