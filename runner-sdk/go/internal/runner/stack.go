package runner

import (
	"errors"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
)

// stackOf returns where a panic happened, or nothing for other errors.
func stackOf(err error) string {
	if p, ok := errors.AsType[*panicked](err); ok {
		return string(p.stack)
	}
	return ""
}

// logStack writes where a panic happened; the error itself is told by who gets it.
func logStack(log *logline.Log, message string, err error) {
	if stack := stackOf(err); stack != "" {
		log.Write(logline.Record{Level: logline.Error, Message: message, Err: err.Error(), Stack: stack})
	}
}
