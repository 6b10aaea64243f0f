package test

import (
	"reflect"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// caller stands for the entrypoint instance that waits.
type caller struct {
	b *bed

	mu      sync.Mutex
	known   []wire.Reply      // confirmed ones
	replies []wire.Reply      // as they came; repeated ones included, but not of what was confirmed
	deaf    int               // replies still to be left unconfirmed
	asked   []string          // request ids, as they came
	gone    func(string) bool // whether a request ended unanswered; nil: none did
}

// caller begins to listen for replies, the first of which it does not confirm.
func (b *bed) caller(deaf int) *caller {
	b.t.Helper()
	c := &caller{b: b, deaf: deaf}
	_, err := b.nc.Subscribe(replyTo, c.receive)
	require.NoError(b.t, err)
	require.NoError(b.t, b.nc.Flush())
	return c
}

func (c *caller) receive(msg *nats.Msg) {
	if ids, is, err := wire.ParseQuestion(wire.AskEnded, msg.Header, msg.Data); is {
		c.answer(msg, ids, err)
		return
	}
	reply, err := wire.ParseReply(msg.Header, msg.Data)
	if err != nil {
		c.b.t.Errorf("a reply that cannot be read: %v", err)
		return
	}
	if reply.IsNote() != (msg.Reply == "") {
		c.b.t.Errorf("a reply of kind %s to be confirmed on %q", reply.Kind, msg.Reply)
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
		c.b.t.Errorf("a question that cannot be read: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, ids...)
	_ = msg.Respond(wire.WriteIDs(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return c.gone == nil || !c.gone(id) })))
}

// questions returns which requests were asked for so far.
func (c *caller) questions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// all returns the replies so far.
func (c *caller) all() []wire.Reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]wire.Reply(nil), c.replies...)
}

// wait waits for n replies.
func (c *caller) wait(n int) []wire.Reply {
	c.b.t.Helper()
	c.b.eventually(func() bool { return len(c.all()) >= n }, "%d replies came", n)
	return c.all()
}
