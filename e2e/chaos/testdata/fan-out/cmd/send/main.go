// Command send is a node that sends what it gets twice, once with its own name before it. src/send.py is the same in Python.
package main

import (
	"os"

	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/fanout/pb"
)

func main() {
	step := os.Getenv("STEP")
	kre.Handle(func(ctx *kre.Context, text *pb.Text) (*pb.Text, error) {
		return text, ctx.SendOutput(&pb.Text{Text: step + " " + text.GetText()}, "also")
	})
	kre.Run()
}
