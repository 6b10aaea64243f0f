// Command work is a node that takes as long as the request says, unless it is the first of several, and passes it on. It
// writes one line for each run: node, request id, and when the run began and ended, in nanoseconds of Unix time.
package main

import (
	"fmt"
	"os"
	"time"

	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/overload/pb"
)

func main() {
	record, err := os.OpenFile(os.Getenv("RECORD"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	step := os.Getenv("STEP")
	kre.Handle(func(ctx *kre.Context, work *pb.Work) (*pb.Work, error) {
		began := time.Now()
		if step != "first" {
			time.Sleep(time.Duration(work.GetMs()) * time.Millisecond)
		}
		// A single write, so that processes do not mix their lines.
		_, err := fmt.Fprintln(record, step, ctx.GetRequestID(), began.UnixNano(), time.Now().UnixNano())
		return work, err
	})
	kre.Run()
}
