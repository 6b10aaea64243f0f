package kre

import (
	"context"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// HandlerContext is the name of Context in handlers written for KRT V2.
type HandlerContext = Context

// Context is what a handler knows of its message and of its node. There is one per attempt at a message, of no use once
// the handler has returned; what lasts as long as the process is kept with Set.
//
// It is a context.Context, which is cancelled when the handler has returned, or when the process has to end and can no
// longer wait for it. Where a caller waits for what the handler does it has a Deadline, the end of that wait, at which it ends; not so
// once the handler has sent an early message, and in a workflow whose work is finished whoever has gone (expired: finish).
type Context struct {
	context.Context // being one is the point

	// Logger writes to the log of the node; lines carry the ids of the message.
	Logger *Logger

	// Services of the platform that are not there yet: their methods return ErrNotThereYet.
	Measurement   Measurement
	Prediction    Prediction
	DB            DB
	ObjectStore   ObjectStore
	Configuration Configuration

	node     *node
	exchange *exchange.Exchange // nil in init
}

// SendOutput sends message to the nodes that subscribe to the channel, by default to those that subscribe to this node.
// It is stored when the handler has returned without error. The exitpoint's default channel answers the caller. An
// *anypb.Any is sent as what it holds.
func (c *Context) SendOutput(message proto.Message, channel ...string) error {
	return c.pack(wire.OK, message, channel)
}

// SendAny is SendOutput for a message that is packed already, such as the one the handler was given.
func (c *Context) SendAny(message *anypb.Any, channel ...string) error {
	return c.send(wire.OK, message, channel)
}

// SendEarlyReply answers the caller at once; the workflow goes on. The exitpoint also gets the message if it subscribes
// to that channel of this node.
func (c *Context) SendEarlyReply(message proto.Message, channel ...string) error {
	return c.pack(wire.EarlyReply, message, channel)
}

// SendEarlyExit answers the caller at once and ends this branch: whatever else this attempt sends is not stored. The
// exitpoint also gets the message if it subscribes to that channel of this node.
func (c *Context) SendEarlyExit(message proto.Message, channel ...string) error {
	return c.pack(wire.EarlyExit, message, channel)
}

func (c *Context) pack(kind wire.Kind, message proto.Message, channel []string) error {
	if message == nil || !message.ProtoReflect().IsValid() {
		return c.send(kind, nil, channel)
	}
	if packed, ok := message.(*anypb.Any); ok {
		return c.send(kind, packed, channel)
	}
	body, err := anypb.New(message)
	if err != nil {
		return sendError{message.ProtoReflect().Descriptor().FullName(), err}
	}
	return c.send(kind, body, channel)
}

func (c *Context) send(kind wire.Kind, body *anypb.Any, channel []string) error {
	if c.exchange == nil {
		return errNothingToAnswer
	}
	switch len(channel) {
	case 0:
		return c.exchange.Send(kind, "", body)
	case 1:
		return c.exchange.Send(kind, channel[0], body)
	default:
		return errSeveralChannels
	}
}

// GetRequestID returns the id of the request that the message belongs to, a ULID.
func (c *Context) GetRequestID() string { return c.input().RequestID }

// GetMessageID returns the id of the message. It is the same in every attempt, and in every process that handles it.
func (c *Context) GetMessageID() string { return c.input().ID }

// GetSender returns the name of the node that sent the message, or "entrypoint".
func (c *Context) GetSender() string { return c.input().Sender }

// GetAttempt returns which attempt of this process at the message this is, from 1.
func (c *Context) GetAttempt() int {
	if c.exchange == nil {
		return 0
	}
	return c.exchange.Attempt
}

// IsMessageOK reports whether the message is an ordinary one.
func (c *Context) IsMessageOK() bool { return c.exchange != nil && c.input().Kind == wire.OK }

// IsMessageError reports whether the message is the error of a node before; it holds a google.rpc.Status.
func (c *Context) IsMessageError() bool { return c.input().Kind == wire.Error }

// IsMessageEarlyReply reports whether the message was sent with SendEarlyReply.
func (c *Context) IsMessageEarlyReply() bool { return c.input().Kind == wire.EarlyReply }

// IsMessageEarlyExit reports whether the message was sent with SendEarlyExit.
func (c *Context) IsMessageEarlyExit() bool { return c.input().Kind == wire.EarlyExit }

func (c *Context) input() wire.Message {
	if c.exchange == nil {
		return wire.Message{}
	}
	return c.exchange.Input
}

// Path returns where the file lies that has that path in the package.
func (c *Context) Path(path string) string {
	return filepath.Join(c.node.root, filepath.FromSlash(path))
}

// Set keeps value in the memory of the process, for every message to come.
func (c *Context) Set(key string, value any) { c.node.memory.Store(key, value) }

// Get returns what was kept under key, or nil.
func (c *Context) Get(key string) any {
	value, _ := c.node.memory.Load(key)
	return value
}
