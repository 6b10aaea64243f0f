package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type config struct {
	Addr     string        `default:":9000" env:"TEST_ADDR"`
	Wait     time.Duration `default:"30s" env:"TEST_WAIT"`
	NATSURL  string        `name:"nats-url" env:"TEST_NATS_URL" secret:"url"`
	Token    string        `env:"TEST_TOKEN" secret:""`
	Required string        `required:"" default:"x" env:"TEST_REQUIRED"`
}

// program runs start as a process would and keeps what it wrote.
type program struct {
	mu       sync.Mutex
	out, err bytes.Buffer
	signals  chan os.Signal
	exited   chan int
}

func newProgram() *program {
	return &program{signals: make(chan os.Signal, 2), exited: make(chan int, 1)}
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) run(run Run[config], args ...string) int {
	return start(environment{
		args: args, stdout: p, stderr: &p.err, signals: p.signals, exit: func(code int) { p.exited <- code },
	}, "program", "A program.", run)
}

func (p *program) lines(t *testing.T) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []map[string]any
	for text := range strings.Lines(p.out.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

func TestASignalCancelsTheContextAndTheProgramEndsWithZero(t *testing.T) {
	p := newProgram()
	code := p.run(func(ctx context.Context, _ *Process, _ config) error {
		p.signals <- syscall.SIGTERM
		<-ctx.Done()
		return ctx.Err()
	})
	require.Equal(t, ExitOK, code)
}

func TestPartsStopInReverseOrderAndAnErrorHindersNothing(t *testing.T) {
	p := newProgram()
	var order []string
	code := p.run(func(_ context.Context, process *Process, _ config) error {
		for _, name := range []string{"first", "second", "third"} {
			process.OnStop(name, time.Minute, func(ctx context.Context) error {
				_, limited := ctx.Deadline()
				require.True(t, limited)
				order = append(order, name)
				return errors.New("stuck")
			})
		}
		return nil
	})
	require.Equal(t, ExitOK, code)
	require.Equal(t, []string{"third", "second", "first"}, order)
}

func TestAnErrorIsLoggedOnceAndTheProgramEndsWithOne(t *testing.T) {
	p := newProgram()
	stopped := false
	code := p.run(func(_ context.Context, process *Process, _ config) error {
		process.OnStop("part", time.Minute, func(context.Context) error { stopped = true; return nil })
		return errors.New("no such broker")
	})
	require.Equal(t, ExitFailed, code)
	require.True(t, stopped)
	require.Equal(t, 1, strings.Count(p.out.String(), "no such broker"))
}

func TestASecondSignalEndsTheProcessDuringItsShutdown(t *testing.T) {
	p := newProgram()
	p.run(func(ctx context.Context, process *Process, _ config) error {
		process.OnStop("slow part", time.Minute, func(context.Context) error {
			p.signals <- syscall.SIGTERM
			require.Equal(t, ExitForced, <-p.exited)
			return nil
		})
		p.signals <- syscall.SIGTERM
		<-ctx.Done()
		return nil
	})
}

func TestTheReadyFileExistsFromReadyUntilTheFirstSignal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	p := newProgram()
	code := p.run(func(ctx context.Context, process *Process, _ config) error {
		require.NoFileExists(t, file, "what an earlier process left")
		require.NoError(t, process.Ready())
		require.FileExists(t, file)
		p.signals <- syscall.SIGTERM
		<-ctx.Done()
		require.NoFileExists(t, file)
		require.NoError(t, process.Ready(), "too late: it stops")
		require.NoFileExists(t, file)
		return nil
	}, "--ready-file", file)
	require.Equal(t, ExitOK, code)
}

func TestFlagsWinOverEnvironmentWhichWinsOverDefaults(t *testing.T) {
	t.Setenv("TEST_ADDR", ":1")
	t.Setenv("TEST_WAIT", "2s")
	p := newProgram()
	p.run(func(_ context.Context, _ *Process, c config) error {
		require.Equal(t, config{Addr: ":1", Wait: 3 * time.Second, Required: "x"}, c)
		return nil
	}, "--wait=3s")
}

func TestShowsItsConfigurationWithoutSecrets(t *testing.T) {
	t.Setenv("TEST_NATS_URL", "nats://hush@a:4222,nats://user:hush@b:4222,hush")
	t.Setenv("TEST_TOKEN", "hush")
	p := newProgram()
	p.run(func(context.Context, *Process, config) error { return nil })

	require.NotContains(t, p.out.String(), "hush")
	require.Equal(t, map[string]any{
		"addr": ":9000", "wait": "30s", "nats-url": "nats://a:4222,nats://b:4222,(set)", "token": "(set)", "required": "x",
		"log-format": "json", "log-level": "info", "ready-file": "",
		"metrics-addr": "", "otlp-endpoint": "", "otlp-protocol": "http/protobuf",
	}, p.lines(t)[0]["config"])
}

func TestWrongFlagsEndWithTwoAndSayWhatIsWrong(t *testing.T) {
	p := newProgram()
	require.Equal(t, ExitUsage, p.run(nil, "--wait=soon"))
	require.Contains(t, p.err.String(), "program: --wait")
	require.Contains(t, p.err.String(), "Try program --help.")
}

func TestHelpListsFlagsAndEndsWithZero(t *testing.T) {
	p := newProgram()
	require.Equal(t, ExitOK, p.run(nil, "--help"))
	require.Contains(t, p.out.String(), "$TEST_ADDR")
}
