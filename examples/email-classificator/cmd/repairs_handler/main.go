// Command repairs_handler opens a ticket for every e-mail about repairs.
package main

import (
	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/emptypb"

	"example.com/email-classificator/pb"
)

func main() {
	kre.Handle(openTicket)
	kre.Run()
}

// openTicket names the ticket after the message: should the same message come twice, it is the same ticket. Nobody
// subscribes to this node, so it sends nothing.
func openTicket(ctx *kre.Context, mail *pb.Classified) (*emptypb.Empty, error) {
	ctx.Logger.Infof("ticket %s: %s", ctx.GetMessageID()[:8], mail.GetEmail().GetSubject())
	return nil, nil
}
