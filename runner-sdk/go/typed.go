package kre

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Typed makes a Handler of a function that takes one type of message and returns another. What the function returns is
// sent to the default channel; nil sends nothing. A message of another type is a final error. Errors of the nodes before
// and early messages do not reach the function: an error is passed on to the nodes behind, an early message is dropped.
// *anypb.Any as a type stands for messages of any type.
func Typed[Request, Response proto.Message](fn func(*Context, Request) (Response, error)) Handler {
	var request Request
	return typedHandler(request, func(ctx *Context, message proto.Message) (proto.Message, error) {
		return fn(ctx, message.(Request))
	})
}

// typedHandler is Typed without type parameters: example, which may be a nil pointer, has the type that call takes.
func typedHandler(example proto.Message, call func(*Context, proto.Message) (proto.Message, error)) Handler {
	return func(ctx *Context, body *anypb.Any) error {
		switch ctx.exchange.Input.Kind {
		case wire.Error:
			ctx.exchange.Forward()
			return nil
		case wire.EarlyReply, wire.EarlyExit:
			ctx.exchange.Drop()
			return nil
		}
		request, err := unpack(ctx.exchange.Input.Sender, example, body)
		if err != nil {
			return err
		}
		response, err := call(ctx, request)
		if err != nil {
			return err
		}
		if response == nil || !response.ProtoReflect().IsValid() {
			return nil
		}
		return ctx.SendOutput(response)
	}
}

func unpack(sender string, example proto.Message, body *anypb.Any) (proto.Message, error) {
	if _, ok := example.(*anypb.Any); ok {
		return body, nil
	}
	expected := example.ProtoReflect().Descriptor().FullName()
	if body.MessageName() != expected {
		return nil, Final(fmt.Errorf("message from %q: expected %s, received %s", sender, expected, typeName(body)))
	}
	message := example.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(body.GetValue(), message); err != nil {
		return nil, Final(fmt.Errorf("message from %q: expected %s, received bytes that are none: %w", sender, expected, err))
	}
	return message, nil
}

func typeName(body *anypb.Any) string {
	if body.GetTypeUrl() == "" {
		return "a message without type"
	}
	if name := body.MessageName(); name != "" {
		return string(name)
	}
	return fmt.Sprintf("%q", body.GetTypeUrl())
}
