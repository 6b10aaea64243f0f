// Package fault gives an error a kind and, where the caller is at fault, the fields that are wrong. The kind is assigned
// where it is known; kit/rpc maps it to a gRPC status. The text of an error with a kind is written for the caller; the
// text of any other error stays in the log.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind tells whose matter an error is and what may be done about it.
type Kind int

// The kinds of error.
const (
	Internal        Kind = iota // nobody foresaw it; the caller learns nothing but that
	Invalid                     // the request is wrong whatever the state of things
	NotFound                    // what the request names does not exist
	Precondition                // the request is right, but not in this state
	Exhausted                   // a limit has been reached
	Unavailable                 // something that is needed does not answer; the same request may be made again
	AlreadyExists               // what the request would make is there already
	Conflict                    // somebody else's change came first; look again, then decide again
	Unauthenticated             // nobody knows who is calling
)

// Field is one thing that is wrong with a request.
type Field struct {
	Path    string // where, e.g. workflows[0].name
	Message string // what, and what would be right
}

// Error is an error with a kind.
type Error struct {
	Kind     Kind
	Message  string            // for the caller
	Reason   string            // for the caller's program: what happened, in UPPER_SNAKE_CASE; empty: the kind says enough
	Metadata map[string]string // what the reason is about, by snake_case keys; only with a Reason
	Fields   []Field           // what is wrong with the request; only with Invalid
	Cause    error             // for the log; never shown to the caller

	RetryAfter time.Duration // when the same request is worth making again; 0: nothing is said of it
}

// Error tells everything, the cause included: it is meant for the log.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error of the given kind. The text is for the caller.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of the given kind whose cause is only for the log.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// For gives the error a reason that a program can act on, with pairs of a key and a value that tell what it is about.
// It changes and returns e. A key without a value is left out.
func (e *Error) For(reason string, pairs ...string) *Error {
	e.Reason = reason
	for i := 0; i+1 < len(pairs); i += 2 {
		if e.Metadata == nil {
			e.Metadata = make(map[string]string, len(pairs)/2)
		}
		e.Metadata[pairs[i]] = pairs[i+1]
	}
	return e
}

// KindOf returns the kind of the outermost error in the chain that has one, else Internal.
func KindOf(err error) Kind {
	var fault *Error
	if errors.As(err, &fault) {
		return fault.Kind
	}
	return Internal
}
