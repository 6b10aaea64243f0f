// Package interrupt tells a person's second Ctrl-C from the first, for commands that end what they started in order and
// at once when asked again.
package interrupt

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Again takes the signals that end a program, of which the first one cancels the context that main has made. The channel
// is closed at the second. stop gives the signals back.
func Again() (again <-chan struct{}, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	second, over := make(chan struct{}), make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-over:
				return
			}
		}
		close(second)
	}()
	return second, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
	})
}
