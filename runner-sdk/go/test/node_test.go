package test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/trial"
)

// process is a node that runs within the test.
type process struct {
	t     testing.TB
	stop  context.CancelFunc
	ended chan struct{}
	err   error
	log   *logbook
	ready string
}

// run starts a node; it ends with the test at the latest.
func (b *bed) run(node config.Node, handler any, change ...func(*engine.Options)) *process {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{
		t: b.t, stop: stop, ended: make(chan struct{}), log: &logbook{}, ready: filepath.Join(b.t.TempDir(), "ready"),
	}
	options := engine.Options{
		Process:  config.Process{Node: node, URL: b.url(), ReadyFile: p.ready},
		Log:      logline.New(p.log, logline.Options{Origin: logline.Origin{Version: node.Version, Workflow: node.Workflow, Node: node.Name}}),
		DrainFor: patience / 2,
		Hands:    inProcess(func() error { return nil }, p.log, handler),
	}
	for _, c := range change {
		c(&options)
	}
	go func() {
		defer close(p.ended)
		p.err = engine.Run(ctx, options)
	}()
	b.t.Cleanup(func() {
		p.end()
		if b.t.Failed() {
			b.t.Logf("log of the node:\n%s", p.log)
		}
	})
	return p
}

func inProcess(init func() error, log io.Writer, handler any) engine.Hands {
	return engine.NewInProcess(func(context.Context) error { return init() }, func(ctx context.Context, x *exchange.Exchange) error {
		result, err := kre.Try(trial.Trial{Context: ctx, Exchange: x, Log: log, Handler: handler})
		if err != nil {
			return err
		}
		return result.Err
	})
}

// end tells the node to end and waits until it has.
func (p *process) end() {
	p.stop()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Error("the node does not end")
	}
}

// logbook collects the log of a node.
type logbook struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.String()
}

// records returns the lines that are JSON; lines of the trial handler's logger are not.
func (l *logbook) records(t testing.TB) []map[string]any {
	t.Helper()
	var records []map[string]any
	for line := range bytes.Lines([]byte(l.String())) {
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var record map[string]any
		require.NoError(t, json.Unmarshal(line, &record))
		records = append(records, record)
	}
	return records
}

func textOf(body *anypb.Any) string {
	var text wrapperspb.StringValue
	if err := body.UnmarshalTo(&text); err != nil {
		return err.Error()
	}
	return text.GetValue()
}

// echo sends what it gets.
func echo(ctx *kre.HandlerContext, body *anypb.Any) error { return ctx.SendAny(body) }
