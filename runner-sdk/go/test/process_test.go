package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// childMain names the main function that this binary runs instead of its tests: nodes that are killed, or end
// themselves, have to be processes of their own.
const childMain = "TEST_NODE_MAIN"

func TestMain(m *testing.M) {
	switch os.Getenv(childMain) {
	case "":
		os.Exit(m.Run())
	case "start":
		kre.Start(
			func(ctx *kre.HandlerContext) { ctx.Set("greeting", "hello ") },
			greet, map[string]kre.Handler{"etl": func(ctx *kre.HandlerContext, _ *anypb.Any) error {
				return ctx.SendOutput(wrapperspb.String("from etl"))
			}},
		)
	case "run":
		kre.Init(func(ctx *kre.Context) error {
			ctx.Set("greeting", "good day ")
			ctx.Logger.Infof("loaded %s", ctx.Path("m.onnx"))
			return nil
		})
		kre.OnAny("etl", greet)
		kre.On("entrypoint", func(ctx *kre.Context, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			ctx.Logger.Warn("somebody comes")
			return wrapperspb.String(ctx.Get("greeting").(string) + name.GetValue()), nil
		})
		kre.Run()
	case "without handler":
		kre.Run()
	case "init fails":
		kre.Init(func(*kre.Context) { panic("no model") })
		kre.HandleAny(greet)
		kre.Run()
	}
}

// greet does as it is told by its message, which may be its last.
func greet(ctx *kre.HandlerContext, body *anypb.Any) error {
	switch text := textOf(body); text {
	case "die":
		os.Exit(1)
		return nil
	case "fatal":
		// Two goroutines writing one map end the process past every recover.
		shared := make(map[int]int)
		for range 2 {
			go func() {
				for i := 0; ; i++ {
					shared[i%8] = i
				}
			}()
		}
		<-ctx.Done()
		return nil
	case "fail":
		return errors.New("told to fail")
	default:
		return ctx.SendOutput(wrapperspb.String(ctx.Get("greeting").(string) + text))
	}
}

// child is a node in a process of its own.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	out   *logbook
	ready string
}

// command returns what makes a command that runs the node, as often as wanted.
func (b *bed) command(node config.Node, main string, env ...string) func() *exec.Cmd {
	b.t.Helper()
	folder := b.t.TempDir()
	data, err := json.Marshal(node)
	require.NoError(b.t, err)
	file := filepath.Join(folder, "node.json")
	require.NoError(b.t, os.WriteFile(file, data, 0o600))
	env = append(append(os.Environ(), childMain+"="+main, "KRE_CONFIG="+file, "KRE_NATS_URL="+b.url(),
		"KRE_READY_FILE="+filepath.Join(folder, "ready"), "KRE_PACKAGE=/package"), env...)
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = env
		return cmd
	}
}

func (b *bed) spawn(node config.Node, main string, env ...string) *child {
	b.t.Helper()
	ready := filepath.Join(b.t.TempDir(), "ready")
	c := &child{t: b.t, out: &logbook{}, ready: ready, cmd: b.command(node, main, append(env, "KRE_READY_FILE="+ready)...)()}
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	require.NoError(b.t, c.cmd.Start())
	b.t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		if b.t.Failed() {
			b.t.Logf("log of the node:\n%s", c.out)
		}
	})
	return c
}

func (c *child) code() int {
	c.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

func TestProcessOfTheV2FormWorksAndEndsOnSIGTERM(t *testing.T) {
	b := newBed(t)
	c := b.spawn(b.node(), "start")
	b.ask("world")
	require.Equal(t, "hello world", b.outputs(1)[0].text(t))
	in := b.request(wrapperspb.String("world"))
	in.Sender = "etl"
	b.send(in)
	require.Equal(t, "from etl", b.outputs(1)[0].text(t))
	b.eventually(func() bool { _, err := os.Stat(c.ready); return err == nil }, "the node is ready")
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, c.code())
	mustNotExist(t, c.ready)
}

func TestProcessOfTheTypedFormWorksAndLogsLines(t *testing.T) {
	b := newBed(t)
	c := b.spawn(b.node(), "run")
	in := b.ask("world")
	require.Equal(t, "good day world", b.outputs(1)[0].text(t))
	b.settled()
	require.NoError(t, c.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, c.code())
	records := c.out.records(t)
	require.Len(t, records, 2)
	for _, record := range records {
		require.NotEmpty(t, record["time"])
		delete(record, "time")
	}
	require.Equal(t, map[string]any{
		"level": "info", "message": "loaded /package/m.onnx", "version": "v1", "workflow": "flow", "node": "N_1",
	}, records[0])
	require.Equal(t, map[string]any{
		"level": "warn", "message": "somebody comes", "version": "v1", "workflow": "flow", "node": "N_1",
		"request_id": in.RequestID, "message_id": in.ID, "attempt": 1.0,
	}, records[1])
}

func TestProcessLogsTextForPeople(t *testing.T) {
	b := newBed(t)
	c := b.spawn(b.node(), "run", "KRE_LOG_FORMAT=text")
	in := b.ask("world")
	b.outputs(1)
	b.settled()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, c.code())
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3} INFO  N_1 loaded /package/m.onnx\n`, c.out.String())
	require.Contains(t, c.out.String(), "WARN  N_1 somebody comes request_id="+in.RequestID+" message_id="+in.ID+" attempt=1\n")
}

func TestProcessThatCannotRunSaysWhyAndEndsWithOne(t *testing.T) {
	tests := map[string]struct{ main, env, want string }{
		"no handler":       {"without handler", "", "the node has no handler: register one with kre.Handle or kre.On, or give one to kre.Start"},
		"init panics":      {"init fails", "", "init: panic: no model"},
		"no configuration": {"run", "KRE_CONFIG=", "KRE_CONFIG is not set: a node is started by the platform or by `kre run`; package kretest calls a handler without either"},
		"no broker":        {"run", "KRE_NATS_URL=", "KRE_NATS_URL is not set: it names the broker"},
		"no such file":     {"run", "KRE_CONFIG=/nowhere", "reading the node's configuration: open /nowhere: no such file or directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			c := b.spawn(b.node(), test.main, test.env)
			require.Equal(t, 1, c.code())
			records := c.out.records(t)
			last := records[len(records)-1]
			require.Equal(t, "the node ends", last["message"])
			require.Equal(t, test.want, last["error"])
		})
	}
}

func TestPoisonMessageBecomesOneDeadLetterAndHarmsNoOther(t *testing.T) {
	b := newBed(t)
	const good = 100
	poisons := []string{"die", "fatal"}
	deaths, stop := supervise(t, b.command(b.node(), "start"))
	defer stop()
	for i := range good {
		if i%40 == 20 {
			b.ask(poisons[i/40])
		}
		b.ask(fmt.Sprint(i))
	}
	seen, failed := make(map[string]bool), 0
	for len(seen) < good || failed < len(poisons) {
		out := b.outputs(1)[0]
		if out.Kind == wire.Error {
			failed++
			continue
		}
		seen[out.text(t)] = true
	}
	b.settled()
	require.Equal(t, len(poisons), failed)
	letters := b.deadLetters(len(poisons))
	texts := make([]string, 0, len(letters))
	for _, letter := range letters {
		texts = append(texts, letter.text(t))
		require.Equal(t, "the process ended 5 times while it handled this message", letter.header.Get(wire.HeaderError))
	}
	require.ElementsMatch(t, poisons, texts)
	require.LessOrEqual(t, deaths(), 5*len(poisons))
}

// supervise runs a command again whenever it ends, until stop is called, and counts how often it ended by itself.
func supervise(t *testing.T, command func() *exec.Cmd) (deaths func() int, stop func()) {
	t.Helper()
	var count atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cmd := command()
			if err := cmd.Start(); err != nil {
				t.Errorf("starting the node: %v", err)
				return
			}
			free := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			if free() {
				count.Add(1)
			}
		}
	}()
	return func() int { return int(count.Load()) }, func() { cancel(); <-done }
}

func TestKilledProcessLosesNothing(t *testing.T) {
	b := newBed(t)
	const many = 300
	c := b.spawn(b.node(), "start")
	seen := make(map[string]bool)
	for i := range many {
		b.ask(fmt.Sprint(i))
		if i%100 == 50 {
			seen[b.outputs(1)[0].text(t)] = true
			require.NoError(t, c.cmd.Process.Kill())
			_ = c.cmd.Wait()
			c = b.spawn(b.node(), "start")
		}
	}
	for len(seen) < many {
		seen[b.outputs(1)[0].text(t)] = true
	}
	b.settled()
	require.Zero(t, b.state(deadStream).Msgs)
}
