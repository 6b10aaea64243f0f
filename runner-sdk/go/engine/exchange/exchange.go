// Package exchange is what passes between the runner and a handler for one attempt at one message: the input, and what
// the handler sends. The runner and the test helper both make exchanges; neither broker nor handlers are known here.
package exchange

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Output is a message that a handler sent.
type Output struct {
	Kind    wire.Kind
	Channel string // empty: the default one
	Body    []byte // a serialized google.protobuf.Any
}

// Exchange is one attempt at one message. Its methods may be called by several goroutines at a time, until the handler
// has returned.
type Exchange struct {
	Input   wire.Message
	Attempt int // from 1

	// MaxBody is the size in bytes that no output may exceed; 0 means any size.
	MaxBody int
	// Tell passes an early message on to the caller at once; nil passes nothing on.
	Tell func(Output)

	mu       sync.Mutex
	outputs  []Output
	exit     bool // an early exit is among the outputs
	early    bool // an early message is among the outputs
	forward  bool
	dropped  bool
	returned bool
	err      error // of a send, which fails the attempt even if the handler disregards it
}

// Send queues an output. Its kind decides: ordinary outputs wait for the handler's return, early ones also go to the
// caller at once.
func (x *Exchange) Send(kind wire.Kind, channel string, message *anypb.Any) error {
	if message == nil {
		return errors.New("sending: the message is nil")
	}
	body, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("sending %s: %w", message.MessageName(), err)
	}
	return x.SendBody(kind, channel, body)
}

// SendBody is Send for a google.protobuf.Any that is serialized already. The body is not copied.
func (x *Exchange) SendBody(kind wire.Kind, channel string, body []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.returned {
		return errors.New("sending: the handler has already returned")
	}
	if x.MaxBody > 0 && len(body) > x.MaxBody {
		x.err = Final(fmt.Errorf("an output of %d bytes is larger than the %d bytes that the broker takes", len(body), x.MaxBody))
		return x.err
	}
	output := Output{Kind: kind, Channel: channel, Body: body}
	x.outputs = append(x.outputs, output)
	if kind == wire.OK {
		return nil
	}
	x.early = true
	x.exit = x.exit || kind == wire.EarlyExit
	if x.Tell != nil {
		x.Tell(output)
	}
	return nil
}

// Early reports whether an early message was sent: the caller has been answered.
func (x *Exchange) Early() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.early
}

// Forward says that the input, an error, is to be passed on unchanged as this node's own.
func (x *Exchange) Forward() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forward = true
}

// Drop says that the input was not meant for the handler and that nothing follows from it.
func (x *Exchange) Drop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropped = true
}

// Result is what an attempt comes to.
type Result struct {
	Outputs []Output // in order; after an early exit that message alone
	Early   bool     // the caller was sent an early message
	Forward bool     // see Exchange.Forward
	Dropped bool     // see Exchange.Drop
	Err     error
}

// Return closes x and says what came of it; err is what the handler returned. From now on nothing can be sent.
func (x *Exchange) Return(err error) Result {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.returned = true
	if x.err != nil {
		err = x.err
	}
	result := Result{Outputs: x.outputs, Early: x.early, Forward: x.forward, Dropped: x.dropped, Err: err}
	if x.exit {
		for _, output := range x.outputs {
			if output.Kind == wire.EarlyExit {
				result.Outputs = []Output{output}
				break
			}
		}
	}
	return result
}
