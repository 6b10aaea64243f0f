package kre

import (
	"context"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/trial"
)

// Try calls a handler once, without a broker. It is the inside of package kretest, which alone can make its argument.
// The error is of the trial itself; what the handler returned is in the result.
func Try(t trial.Trial) (exchange.Result, error) {
	handler, err := handlerOf(t.Handler)
	if err != nil {
		return exchange.Result{}, err
	}
	a := newApp()
	a.fallback = handler
	if t.Init != nil {
		if a.init = loader(t.Init); a.init == nil {
			return exchange.Result{}, fmt.Errorf("init is a %T; want a func(*kre.Context) or a func(*kre.Context) error", t.Init)
		}
	}
	n := &node{root: t.Root, log: logline.New(t.Log, logline.Options{Text: true, Origin: logline.Origin{Node: t.Node}})}
	for key, value := range t.Memory {
		n.memory.Store(key, value)
	}
	if err := a.load(t.Context, n); err != nil {
		return exchange.Result{}, fmt.Errorf("init: %w", err)
	}
	ctx, cancel := context.WithCancel(t.Context)
	defer cancel()
	return t.Exchange.Return(a.handle(ctx, n, t.Exchange)), nil
}

// handlerOf makes a Handler of one, or of a function that Typed would take if its types were known here.
func handlerOf(fn any) (Handler, error) {
	switch fn := fn.(type) {
	case Handler:
		return fn, nil
	case func(*Context, *anypb.Any) error:
		return fn, nil
	}
	value := reflect.ValueOf(fn)
	message, failure := reflect.TypeFor[proto.Message](), reflect.TypeFor[error]()
	if kind := value.Kind(); kind != reflect.Func || value.IsNil() || value.Type().NumIn() != 2 || value.Type().NumOut() != 2 ||
		value.Type().In(0) != reflect.TypeFor[*Context]() || !value.Type().In(1).Implements(message) ||
		!value.Type().Out(0).Implements(message) || value.Type().Out(1) != failure {
		return nil, fmt.Errorf("the handler is a %T; want a kre.Handler or a func(*kre.Context, *Request) (*Response, error)", fn)
	}
	example, ok := reflect.Zero(value.Type().In(1)).Interface().(proto.Message)
	if !ok {
		return nil, fmt.Errorf("the handler takes a %s; want a pointer to a generated message", value.Type().In(1))
	}
	return typedHandler(example, func(ctx *Context, request proto.Message) (proto.Message, error) {
		out := value.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(request)})
		response, _ := out[0].Interface().(proto.Message)
		err, _ := out[1].Interface().(error)
		return response, err
	}), nil
}
