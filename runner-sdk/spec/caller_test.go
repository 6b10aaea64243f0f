package spec_test

import (
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// caller plays the entrypoint instance that waits.
type caller struct {
	v       *version
	subject string

	mu      sync.Mutex
	replies []wire.Reply // as they came, repeated ones included
	deaf    int          // replies still to be left unconfirmed
}

// caller begins to listen for replies.
func (v *version) caller() *caller {
	v.t.Helper()
	c := &caller{v: v, subject: v.plan.Entrypoint.ReplyTo + ".one"}
	_, err := v.nc.Subscribe(c.subject, c.receive)
	require.NoError(v.t, err)
	require.NoError(v.t, v.nc.Flush())
	return c
}

func (c *caller) receive(msg *nats.Msg) {
	reply, err := wire.ParseReply(msg.Header, msg.Data)
	if err != nil {
		c.v.t.Errorf("a reply that cannot be read: %v", err)
		return
	}
	if reply.IsNote() != (msg.Reply == "") {
		c.v.t.Errorf("a reply of kind %s that is to be confirmed on %q", reply.Kind, msg.Reply)
	}
	if !reply.IsNote() && reply.SentAt.IsZero() {
		c.v.t.Errorf("a reply of kind %s does not say when it was sent", reply.Kind)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies = append(c.replies, reply)
	if reply.IsNote() {
		return
	}
	if c.deaf > 0 {
		c.deaf--
		return
	}
	_ = msg.Respond(nil)
}

// leaveUnconfirmed has the next n replies left without an answer.
func (c *caller) leaveUnconfirmed(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = n
}

// to returns the replies to a request so far.
func (c *caller) to(requestID string) []wire.Reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	var replies []wire.Reply
	for _, reply := range c.replies {
		if reply.RequestID == requestID {
			replies = append(replies, reply)
		}
	}
	return replies
}
