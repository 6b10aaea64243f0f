package remote

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lookEvery is how often is looked whether something is so.
const lookEvery = 250 * time.Millisecond

// Until calls look at once and again and again until it is done or fails for good. An engine that does not answer for a
// moment is no failure; tell hears of it, once each time.
func Until(ctx context.Context, tell func(format string, args ...any), look func() (done bool, err error)) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	away := false
	for {
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
		case <-ticker.C:
		}
	}
}

// Away tells whether an error says that nobody answers now, which may pass.
func Away(err error) bool {
	code := status.Code(err)
	return err != nil && (code == codes.Unavailable || code == codes.DeadlineExceeded)
}
