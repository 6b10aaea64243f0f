// Package kretest calls handlers of nodes in tests, without a broker: it gives a handler one message and returns what
// the handler sent.
//
//	var out pb.Response
//	kretest.Call(t, price, &pb.Request{Carat: 1}, kretest.Sender("etl"), kretest.Env("CURRENCY", "EUR")).One(&out)
package kretest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/trial"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// RequestID and MessageID are those of the message that Call gives to a handler.
const (
	RequestID = "01JD7QZ8X5N3V9T4B6K2M0P1RS"
	MessageID = "a4be4b81b91f6747ef95624377a2129c"
)

// Option says something about a call.
type Option func(*call)

type call struct {
	t       testing.TB
	trial   trial.Trial
	message *exchange.Exchange
}

// Sender is the node that the message comes from, or "entrypoint", which is the default.
func Sender(name string) Option { return func(c *call) { c.message.Input.Sender = name } }

// Kind makes the message an early one or an error; the message of an error is a google.rpc.Status.
func Kind(kind wire.Kind) Option { return func(c *call) { c.message.Input.Kind = kind } }

// Attempt says which attempt at the message this is; the default is 1.
func Attempt(n int) Option { return func(c *call) { c.message.Attempt = n } }

// Deadline says until when a caller waits for what the handler does; by default nobody does.
func Deadline(at time.Time) Option {
	return func(c *call) {
		ctx, cancel := context.WithDeadline(c.trial.Context, at)
		c.t.Cleanup(cancel)
		c.trial.Context = ctx
	}
}

// Env sets an environment variable until the test ends. As with testing.T.Setenv, the test cannot run in parallel.
func Env(name, value string) Option { return func(c *call) { c.t.Setenv(name, value) } }

// InitWith has load, as given to kre.Init or kre.Start, called before the handler.
func InitWith(load any) Option { return func(c *call) { c.trial.Init = load } }

// Memory puts a value where the handler's ctx.Get finds it.
func Memory(key string, value any) Option {
	return func(c *call) { c.trial.Memory[key] = value }
}

// Root is the folder that ctx.Path counts from. By default it is the nearest one upwards from the working directory that
// holds a manifest.
func Root(folder string) Option { return func(c *call) { c.trial.Root = folder } }

// Call calls handler once with message, and returns what it sent. The handler is a kre.Handler or a function such as
// kre.Handle takes. Its log goes to the log of the test. A panic of the handler is a panic of the test.
func Call(t testing.TB, handler any, message proto.Message, options ...Option) *Result {
	t.Helper()
	body, err := pack(message)
	if err != nil {
		t.Fatalf("kretest: the message: %v", err)
	}
	x := &exchange.Exchange{
		Attempt: 1,
		Input: wire.Message{
			ID: MessageID, RequestID: RequestID, Sender: wire.SenderEntrypoint, Kind: wire.OK, Body: body,
		},
	}
	c := &call{t: t, message: x, trial: trial.Trial{
		Context: t.Context(), Exchange: x, Node: "test", Log: t.Output(), Memory: make(map[string]any), Handler: handler,
	}}
	for _, option := range options {
		option(c)
	}
	if c.trial.Root == "" {
		if c.trial.Root, err = projectRoot(); err != nil {
			t.Fatalf("kretest: %v", err)
		}
	}
	result, err := kre.Try(c.trial)
	if err != nil {
		t.Fatalf("kretest: %v", err)
	}
	return &Result{t: t, result: result}
}

func pack(message proto.Message) ([]byte, error) {
	body, ok := message.(*anypb.Any)
	if !ok {
		var err error
		if body, err = anypb.New(message); err != nil {
			return nil, fmt.Errorf("packing: %w", err)
		}
	}
	data, err := proto.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("serializing: %w", err)
	}
	return data, nil
}

// projectRoot returns the nearest folder upwards that holds a manifest, or the working directory where none does.
func projectRoot() (string, error) {
	working, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the project: %w", err)
	}
	for folder := working; ; folder = filepath.Dir(folder) {
		for _, name := range []string{"krt.yml", "krt.yaml", "kre.yaml", "kre.yml"} {
			if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
				return folder, nil
			}
		}
		if folder == filepath.Dir(folder) {
			return working, nil
		}
	}
}
