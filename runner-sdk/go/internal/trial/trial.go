// Package trial holds what package kretest hands to package kre to call a handler without a broker. Being internal, it
// keeps that door shut for everybody else.
package trial

import (
	"context"
	"io"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
)

// Trial is one call of a handler.
type Trial struct {
	Context  context.Context // it is handed over once
	Exchange *exchange.Exchange
	Root     string // of the project or package
	Node     string // name for the log
	Log      io.Writer
	Memory   map[string]any // what the process keeps already
	Init     any            // see kre.Init; nil for none
	Handler  any            // a kre.Handler or a function that kre.Typed takes
}
