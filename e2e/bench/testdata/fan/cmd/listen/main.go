// Command listen is a node that does nothing with what it gets.
package main

import (
	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/anypb"
)

func main() {
	kre.HandleAny(func(*kre.HandlerContext, *anypb.Any) error { return nil })
	kre.Run()
}
