// Command pass is a node that passes on what it gets.
package main

import (
	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/fanout/pb"
)

func main() {
	kre.Handle(func(_ *kre.Context, text *pb.Text) (*pb.Text, error) { return text, nil })
	kre.Run()
}
