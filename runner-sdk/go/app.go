package kre

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// app is what the author of a node wrote.
type app struct {
	init     func(*Context) error
	fallback Handler
	bySender map[string]Handler
}

func newApp() *app { return &app{bySender: make(map[string]Handler)} }

func (a *app) on(sender string, handler Handler) { a.bySender[sender] = handler }

func (a *app) check() error {
	if a.fallback == nil && len(a.bySender) == 0 {
		return errors.New("the node has no handler: register one with kre.Handle or kre.On, or give one to kre.Start")
	}
	return nil
}

// node is what the messages of a process share.
type node struct {
	root   string // of the package
	log    *logline.Log
	memory sync.Map
	warned sync.Map // names of services that were asked for and are not there yet
}

func (n *node) context(ctx context.Context, x *exchange.Exchange) *Context {
	return &Context{
		Context:     ctx,
		Logger:      &Logger{log: n.log, exchange: x},
		Measurement: Measurement{n},
		node:        n,
		exchange:    x,
	}
}

func (n *node) warnNotThereYet(service string) {
	if _, done := n.warned.LoadOrStore(service, true); !done {
		n.log.Printf(logline.Warn, "%v: what is given to it is not kept", notThereYet(service))
	}
}

// load runs the author's init, if there is one.
func (a *app) load(ctx context.Context, n *node) error {
	if a.init == nil {
		return nil
	}
	return a.init(n.context(ctx, nil))
}

// handle hands x to the handler that its sender chooses. Ctx ends when that has returned.
func (a *app) handle(ctx context.Context, n *node, x *exchange.Exchange) error {
	handler := a.bySender[x.Input.Sender]
	if handler == nil {
		handler = a.fallback
	}
	var body anypb.Any
	err := proto.Unmarshal(x.Input.Body, &body)
	switch {
	case err != nil:
		return Final(fmt.Errorf("message from %q: expected a google.protobuf.Any, received bytes that are none: %w", x.Input.Sender, err))
	case handler == nil:
		return Final(fmt.Errorf("message from %q: expected by no handler, received %s", x.Input.Sender, typeName(&body)))
	}
	return handler(n.context(ctx, x), &body)
}
