// Command send is a node that sends what it gets twice.
package main

import (
	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/chain/pb"
)

func main() {
	kre.Handle(func(ctx *kre.Context, text *pb.Text) (*pb.Text, error) {
		return text, ctx.SendOutput(text, "also")
	})
	kre.Run()
}
