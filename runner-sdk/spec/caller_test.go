package spec_test

import (
	"reflect"
	"slices"
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
	known   []wire.Reply    // confirmed ones
	replies []wire.Reply    // as they came; repeated ones included, but not of what was confirmed
	deaf    int             // replies still to be left unconfirmed
	gone    map[string]bool // requests that ended unanswered
}

// caller begins to listen for replies.
func (v *version) caller() *caller {
	v.t.Helper()
	c := &caller{v: v, subject: v.plan.Entrypoint.ReplyTo + ".one", gone: make(map[string]bool)}
	_, err := v.nc.Subscribe(c.subject, c.receive)
	require.NoError(v.t, err)
	require.NoError(v.t, v.nc.Flush())
	return c
}

func (c *caller) receive(msg *nats.Msg) {
	if ids, is, err := wire.ParseQuestion(wire.AskEnded, msg.Header, msg.Data); is {
		c.answer(msg, ids, err)
		return
	}
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
	if c.isKnown(reply) {
		_ = msg.Respond(nil) // the node could not wait for the first confirmation
		return
	}
	c.replies = append(c.replies, reply)
	if reply.IsNote() {
		return
	}
	if c.deaf > 0 {
		c.deaf--
		return
	}
	c.known = append(c.known, reply)
	_ = msg.Respond(nil)
}

// isKnown reports whether a reply has been confirmed.
func (c *caller) isKnown(reply wire.Reply) bool {
	return slices.ContainsFunc(c.known, func(known wire.Reply) bool { return reflect.DeepEqual(known, reply) })
}

// answer answers a question.
func (c *caller) answer(msg *nats.Msg, ids []string, err error) {
	if err != nil {
		c.v.t.Errorf("a question that cannot be read: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = msg.Respond(wire.WriteIDs(slices.DeleteFunc(ids, func(id string) bool { return !c.gone[id] })))
}

// leave has the caller of a request go away unanswered.
func (c *caller) leave(requestID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone[requestID] = true
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
