package kretest

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Sent is a message that a handler sent.
type Sent struct {
	Kind    wire.Kind // OK, EarlyReply or EarlyExit
	Channel string    // empty: the default one
	Body    *anypb.Any
}

// Result is what came of a call. Its methods end the test when the handler did something else than they name.
type Result struct {
	t      testing.TB
	result exchange.Result
}

// Err returns the error of the handler, or nil.
func (r *Result) Err() error { return r.result.Err }

// IsFinal reports whether the handler returned an error that another attempt cannot cure. See kre.Final.
func (r *Result) IsFinal() bool { return exchange.IsFinal(r.result.Err) }

// Code returns the code that the handler gave its error with kre.Errorf, or 0.
func (r *Result) Code() kre.Code { return kre.Code(exchange.CodeOf(r.result.Err)) }

// Forwarded reports whether an error that the handler was given is passed on to the next nodes as it is, as typed
// handlers do.
func (r *Result) Forwarded() bool { return r.result.Forward }

// All returns what the handler sent, in order; of an attempt that fails, nothing would be stored.
func (r *Result) All() []Sent {
	r.t.Helper()
	r.succeeded()
	sent := make([]Sent, 0, len(r.result.Outputs))
	for _, output := range r.result.Outputs {
		var body anypb.Any
		if err := proto.Unmarshal(output.Body, &body); err != nil {
			r.t.Fatalf("kretest: reading what the handler sent: %v", err)
		}
		sent = append(sent, Sent{Kind: output.Kind, Channel: output.Channel, Body: &body})
	}
	return sent
}

// On returns what the handler sent to a channel.
func (r *Result) On(channel string) []Sent {
	r.t.Helper()
	var sent []Sent
	for _, s := range r.All() {
		if s.Channel == channel {
			sent = append(sent, s)
		}
	}
	return sent
}

// One reads into out the only message that the handler sent, whatever its kind and channel, and returns it.
func (r *Result) One(out proto.Message) Sent {
	r.t.Helper()
	all := r.All()
	if len(all) != 1 {
		r.t.Fatalf("kretest: the handler sent %d messages, want 1: %v", len(all), all)
	}
	if err := all[0].Read(out); err != nil {
		r.t.Fatalf("kretest: %v", err)
	}
	return all[0]
}

// None makes sure that the handler succeeded and sent nothing.
func (r *Result) None() {
	r.t.Helper()
	if all := r.All(); len(all) > 0 {
		r.t.Fatalf("kretest: the handler sent %d messages, want none: %v", len(all), all)
	}
}

func (r *Result) succeeded() {
	r.t.Helper()
	if r.result.Err != nil {
		r.t.Fatalf("kretest: the handler failed: %v", r.result.Err)
	}
}

// Read reads the message into out, which has to be of its type.
func (s Sent) Read(out proto.Message) error {
	return s.Body.UnmarshalTo(out)
}
