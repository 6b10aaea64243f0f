// Command listen is a node that writes down what it gets.
package main

import (
	"os"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/anypb"

	"example.com/fanout/pb"
)

func main() {
	record, err := os.OpenFile(os.Getenv("RECORD"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	kre.HandleAny(func(_ *kre.HandlerContext, body *anypb.Any) error {
		text := new(pb.Text)
		if err := body.UnmarshalTo(text); err != nil {
			return kre.Final(err)
		}
		_, err := record.WriteString(text.GetText() + "\n") // a single write, so that processes do not mix theirs
		return err
	})
	kre.Run()
}
