package kre

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
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

// Code says what kind of mistake of the caller's an error tells of. The values are those of google.rpc.Code; codes.Code of
// google.golang.org/grpc/codes can be given instead.
type Code uint32

// The codes that a handler may choose, each with its status over HTTP.
const (
	InvalidArgument    Code = 3  // 400
	DeadlineExceeded   Code = 4  // 504
	NotFound           Code = 5  // 404
	AlreadyExists      Code = 6  // 409
	PermissionDenied   Code = 7  // 403
	ResourceExhausted  Code = 8  // 429
	FailedPrecondition Code = 9  // 400
	Aborted            Code = 10 // 409
	OutOfRange         Code = 11 // 400
	Unimplemented      Code = 12 // 501
	Unavailable        Code = 14 // 503
	Unauthenticated    Code = 16 // 401
)

// Errorf returns an error for a mistake of the caller's, who gets it with that code. It is final, and leaves no dead letter.
// Format and args are those of fmt.Errorf.
func Errorf[C ~uint32](code C, format string, args ...any) error {
	return exchange.Coded(fmt.Errorf(format, args...), int32(code))
}

// notThereYet is final: no repeating makes a service be there.
func notThereYet(service string) error {
	return Final(fmt.Errorf("kre: %s is %w", service, ErrNotThereYet))
}

type sendError struct {
	name protoreflect.FullName
	err  error
}

func (e sendError) Error() string { return fmt.Sprintf("sending %s: %v", e.name, e.err) }

func (e sendError) Unwrap() error { return e.err }
