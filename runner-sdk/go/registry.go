package kre

import "google.golang.org/protobuf/proto"

// registered is what Init, Handle and On collect for Run. A process is one node, as a program is one main function: that
// is what makes a package variable right here and nowhere else.
var registered = newApp()

// Init has load called once, before the first message. An error of load, or a panic, ends the process.
func Init[Load ~func(*Context) | ~func(*Context) error](load Load) {
	registered.init = loader(load)
}

// Handle makes fn the handler of messages that no handler registered by On takes. See Typed.
func Handle[Request, Response proto.Message](fn func(*Context, Request) (Response, error)) {
	HandleAny(Typed(fn))
}

// On makes fn the handler of what the node sender sends; "entrypoint" stands for the caller's requests. See Typed.
func On[Request, Response proto.Message](sender string, fn func(*Context, Request) (Response, error)) {
	OnAny(sender, Typed(fn))
}

// HandleAny is Handle for a handler that takes every message, errors and early messages included.
func HandleAny(handler Handler) { registered.fallback = handler }

// OnAny is On for a handler that takes every message, errors and early messages included.
func OnAny(sender string, handler Handler) { registered.on(sender, handler) }

// Run runs the node with the handlers registered so far, until the process is told to end, and does not return.
func Run() { registered.runAndExit() }

func loader(load any) func(*Context) error {
	switch load := load.(type) {
	case func(*Context) error:
		return load
	case func(*Context):
		return func(ctx *Context) error {
			load(ctx)
			return nil
		}
	case HandlerInit:
		return loader((func(*Context))(load))
	}
	return nil
}
