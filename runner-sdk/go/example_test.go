package kre_test

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
)

// The usual node: each function takes one type of message and returns another.
func ExampleRun() {
	load := func(ctx *kre.Context) error {
		ctx.Set("model", ctx.Path("models/model.onnx")) // loaded once, for every message
		return nil
	}
	price := func(ctx *kre.Context, request *structpb.Struct) (*structpb.Struct, error) {
		ctx.Logger.Infof("asked for %v", request.AsMap())
		return structpb.NewStruct(map[string]any{"price": 5163, "model": ctx.Get("model")})
	}
	main := func() {
		kre.Init(load)
		kre.Handle(price)
		kre.Run()
	}
	_ = main // it runs until the process is told to end
}

// A node in the form of KRT V2: handlers take any message, errors and early messages included.
func ExampleStart() {
	handle := func(ctx *kre.HandlerContext, message *anypb.Any) error {
		if ctx.IsMessageError() {
			return ctx.SendAny(message)
		}
		var request structpb.Struct
		if err := message.UnmarshalTo(&request); err != nil {
			return kre.Final(fmt.Errorf("not a request: %w", err))
		}
		return ctx.SendOutput(&request)
	}
	repair := func(ctx *kre.HandlerContext, message *anypb.Any) error {
		return ctx.SendAny(message, "repairs")
	}
	main := func() {
		kre.Start(nil, handle, map[string]kre.Handler{"etl": repair})
	}
	_ = main
}

// A typed handler where a Handler is wanted.
func ExampleTyped() {
	pass := func(_ *kre.Context, request *structpb.Struct) (*structpb.Struct, error) { return request, nil }
	main := func() {
		kre.Start(nil, kre.Typed(pass))
	}
	_ = main
}

// Another attempt does not cure a request that makes no sense.
func ExampleFinal() {
	price := func(_ *kre.Context, request *structpb.Struct) (*structpb.Struct, error) {
		if request.GetFields()["carat"].GetNumberValue() <= 0 {
			return nil, kre.Final(errors.New("carat has to be more than 0"))
		}
		return request, nil
	}
	_, err := price(nil, &structpb.Struct{})
	fmt.Println(err)
	// Output: carat has to be more than 0
}
