package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/konstellation-io/kre/kit/fault"
)

// failure gives an error of the driver its kind. What the driver says is for the log only; what tells what was being done.
func failure(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case away(err):
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%s: %w", what, err), "the store does not answer; try again")
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// away says whether the server did not answer, or not in time, or is one that cannot answer now.
func away(err error) bool {
	var server mongo.ServerError
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, mongo.ErrClientDisconnected) ||
		errors.As(err, &server) && (server.HasErrorLabel("RetryableWriteError") || server.HasErrorLabel("TransientTransactionError"))
}
