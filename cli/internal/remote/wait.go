package remote

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How long is waited before it is looked again whether something is so: more and more, because most is so at once.
const (
	firstLook = 20 * time.Millisecond
	lookEvery = 250 * time.Millisecond
)

// Until calls look at once and again and again until it is done or fails for good. An engine that does not answer for a
// moment is no failure; tell hears of it, once each time.
func Until(ctx context.Context, tell func(format string, args ...any), look func() (done bool, err error)) error {
	away := false
	for pause := firstLook; ; pause = min(2*pause, lookEvery) {
		done, err := look()
		switch {
		case Away(err):
			if !away {
				first, _, _ := strings.Cut(err.Error(), "\n")
				tell("%s; still waiting", first)
			}
			away = true
		case err != nil || done:
			return err
		default:
			away = false
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Away tells whether an error says that nobody answers now, which may pass.
func Away(err error) bool {
	code := status.Code(err)
	return err != nil && (code == codes.Unavailable || code == codes.DeadlineExceeded)
}
