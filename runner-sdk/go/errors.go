package kre

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/exchange"
)

// ErrNotThereYet is returned by services of the platform that this version of the SDK names but does not have yet.
var ErrNotThereYet = errors.New("not there yet in this version of KRE")

var (
	errNothingToAnswer = errors.New("sending: there is no message to answer in init")
	errSeveralChannels = errors.New("sending: a message goes to one channel")
)

// Final marks err as one that another attempt cannot cure: the message is not handled again, its caller learns the error
// at once. Final of nil is nil.
func Final(err error) error { return exchange.Final(err) }

func notThereYet(service string) error {
	return fmt.Errorf("kre: %s is %w", service, ErrNotThereYet)
}

type sendError struct {
	name protoreflect.FullName
	err  error
}

func (e sendError) Error() string { return fmt.Sprintf("sending %s: %v", e.name, e.err) }

func (e sendError) Unwrap() error { return e.err }
