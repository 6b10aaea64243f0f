// Command node answers with what it gets, and with the values of its own that it is configured with.
package main

import (
	"os"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/structpb"
)

func main() {
	kre.Handle(func(ctx *kre.Context, in *structpb.Struct) (*structpb.Struct, error) {
		out := in.AsMap()
		out["color"] = os.Getenv("COLOR")
		out["version"] = os.Getenv("NAME")
		return structpb.NewStruct(out)
	})
	kre.Run()
}
