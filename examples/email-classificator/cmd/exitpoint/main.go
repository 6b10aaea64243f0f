// Command exitpoint is where the workflow ends. Its handlers have the plain form, which gets every message as an Any.
package main

import (
	"fmt"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/anypb"

	"example.com/email-classificator/pb"
)

func main() {
	kre.Start(nil, answer, map[string]kre.Handler{"etl": letPass})
}

// letPass does nothing with what etl sends. Its early reply has answered the caller already, and is stored for this node
// only so that it could be seen; its ordinary output, the e-mail, is meant for email-classificator.
func letPass(ctx *kre.HandlerContext, _ *anypb.Any) error {
	ctx.Logger.Debugf("early reply: %t", ctx.IsMessageEarlyReply())
	return nil
}

// answer sends what the caller would get had etl not answered already. As it is, the entrypoint ignores it.
func answer(ctx *kre.HandlerContext, data *anypb.Any) error {
	if ctx.IsMessageError() { // has been told to whoever needs to know it
		return nil
	}
	stats := new(pb.Stats)
	if err := data.UnmarshalTo(stats); err != nil {
		return kre.Final(fmt.Errorf("read the statistics: %w", err))
	}
	return ctx.SendOutput(&pb.Response{Message: "about " + stats.GetCategory()})
}
