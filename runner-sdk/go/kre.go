// Package kre is the SDK of nodes written in Go: it receives messages, hands each to the handler chosen by its sender,
// and stores what the handler sends before it acknowledges the message.
//
// A node is a program whose main function registers its handlers and calls Run:
//
//	func main() {
//		kre.Init(load)
//		kre.Handle(price)
//		kre.On("etl", priceFromETL)
//		kre.Run()
//	}
//
// or, with handlers that take any message, calls Start. It is started by the platform or by `kre run`, which tell it
// through its environment what to do. Package kretest calls handlers without either.
package kre

import (
	"google.golang.org/protobuf/types/known/anypb"
)

// HandlerInit prepares a process before its first message: it loads models and keeps them with Set.
type HandlerInit func(*HandlerContext)

// Handler handles one message. An error (or a panic) is a failed attempt: what the handler sent is dropped, and the
// message is handled again until the attempts of its workflow are exhausted. See Final.
//
// A Handler also gets errors of the nodes before it and early messages, which it tells apart by IsMessageError and its
// like; handlers made by Typed, Handle and On do not.
type Handler func(*HandlerContext, *anypb.Any) error

// Start runs the node until the process is told to end, and does not return. The default handler handles what no
// handler of custom does, whose keys are names of nodes as the manifest writes them, or "entrypoint". Init and
// defaultHandler may be nil.
func Start(init HandlerInit, defaultHandler Handler, custom ...map[string]Handler) {
	a := newApp()
	if init != nil {
		a.init = func(ctx *Context) error {
			init(ctx)
			return nil
		}
	}
	a.fallback = defaultHandler
	for _, handlers := range custom {
		for sender, handler := range handlers {
			a.on(sender, handler)
		}
	}
	a.runAndExit()
}
