package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	limit    = time.Minute // for a condition to come true: far more than it takes
	maxBytes = 1000
)

// tContext is a context that never ends.
type tContext struct{ context.Context }

func (tContext) Done() <-chan struct{} { return nil }
func (tContext) Err() error            { return nil }

// events are what a worker tells, in order.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) Down(reason string) { e.add("down: " + reason) }
func (e *events) Up()                { e.add("up") }
func (e *events) Lost(err error)     { e.add("lost: " + err.Error()) }

func (e *events) add(one string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.all...)
}

// book collects what is written.
type book struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func options(what string, log *book) Options {
	if log == nil {
		log = new(book)
	}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, behaviour+"=") })
	return Options{
		Command: []string{os.Args[0]}, Env: append(env, behaviour+"="+what, "KRE_NATS_URL=secret", "KRE_METRICS_ADDR=127.0.0.1:1", "KRE_PACKAGE=/pack"),
		Node: config.Node{Version: "v", Workflow: "w", Name: "n", Src: "bin/n"}, Package: "/pack",
		Log:    logline.New(log, logline.Options{Text: true, Level: logline.Info}),
		Stderr: func(line []byte) { _, _ = log.Write(append(line, '\n')) },
	}
}

// bed is a worker with its surroundings.
type bed struct {
	*Worker
	t      *testing.T
	log    *book
	events *events
	hard   context.Context
	stop   context.CancelFunc
}

func newBed(t *testing.T, what string) *bed {
	t.Helper()
	b := &bed{t: t, log: new(book), events: new(events)}
	b.Worker = New(options(what, b.log))
	b.hard, b.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		b.Close()
		if t.Failed() {
			t.Log(b.log)
		}
	})
	return b
}

func open(t *testing.T, what string) *bed {
	t.Helper()
	b := newBed(t, what)
	require.NoError(t, b.Open(t.Context(), maxBytes, b.events))
	return b
}

// attempt is one that was begun.
type attempt struct {
	t     *testing.T
	x     *exchange.Exchange
	began chan struct{}
	ended chan engine.Ending
}

func (b *bed) begin(body string, change ...func(*engine.Attempt)) *attempt {
	a := &attempt{
		t: b.t, x: &exchange.Exchange{Input: wire.Message{Kind: wire.OK, Body: []byte(body)}, Attempt: 1},
		began: make(chan struct{}), ended: make(chan engine.Ending, 1),
	}
	of := &engine.Attempt{
		Exchange: a.x, Context: b.hard, Began: func() { close(a.began) }, Ended: func(e engine.Ending) { a.ended <- e },
	}
	for _, c := range change {
		c(of)
	}
	b.Begin(of)
	return a
}

func (a *attempt) end() engine.Ending {
	a.t.Helper()
	select {
	case e := <-a.ended:
		return e
	case <-time.After(limit):
		require.FailNow(a.t, "the attempt does not end")
		return engine.Ending{}
	}
}

func (a *attempt) outputs() []string {
	var all []string
	for _, o := range a.x.Return(nil).Outputs {
		all = append(all, string(o.Body))
	}
	return all
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, limit, time.Millisecond, what)
}

func TestWorkerIsToldWhatItIsAndNothingOfTheBroker(t *testing.T) {
	b := open(t, "tell")
	eventually(t, "it tells", func() bool { return strings.Contains(b.log.String(), "n bin/n /pack LEVEL_INFO 1000 ") })
	require.Contains(t, b.log.String(), "KRE_PACKAGE=/pack")
	require.NotContains(t, b.log.String(), "KRE_NATS_URL")
	require.NotContains(t, b.log.String(), "KRE_METRICS_ADDR", "two processes cannot listen there")
}

func TestWorkerThatEndsBeforeItIsReadySaysHowAndWhatItPrinted(t *testing.T) {
	for what, want := range map[string]EndedError{
		"fail":          {7, "ended with code 7 before it was ready"},
		"signal":        {137, "was ended by signal 9 (killed: perhaps memory ran out) before it was ready"},
		"garbage":       {1, "was ended: the worker does not speak the worker protocol: "},
		"huge":          {1, "was ended: the worker does not speak the worker protocol: a frame of 4294967295 bytes, want at most "},
		"other version": {1, "was ended: the worker does not speak the worker protocol: it speaks version 9 of it, and this runner 1"},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBed(t, what)
			err := b.Open(t.Context(), maxBytes, b.events)
			var ended *EndedError
			require.ErrorAs(t, err, &ended)
			require.Equal(t, want.Code, ended.Code)
			require.True(t, strings.HasPrefix(ended.Reason, want.Reason), ended.Reason)
			require.Empty(t, b.events.list())
			if what != "fail" {
				return
			}
			require.Contains(t, b.log.String(), "loading\n")
			require.Contains(t, b.log.String(), "without a line feed\n")
			for _, line := range []string{"Traceback (most recent call last):", `  File "x.py", line 1`, "ImportError: no module"} {
				require.Regexp(t, `(?m)^[0-9:.]+ ERROR  `+strings.NewReplacer("(", `\(`, ")", `\)`, ".", `\.`).Replace(line)+"$", b.log.String())
			}
		})
	}
}

func TestProgramThatIsMissingOrNoneIsTold(t *testing.T) {
	for command, code := range map[string]int{"/no/such/program": 127, "/dev/null": 127} {
		o := options("", nil)
		o.Command = []string{command}
		w := New(o)
		err := w.Open(t.Context(), maxBytes, new(events))
		w.Close()
		var ended *EndedError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, code, ended.Code)
		require.Contains(t, ended.Reason, "cannot be started: ")
		require.Contains(t, ended.Reason, command)
	}
}

func TestWorkerThatDiesIsStartedAgainAndItsRunIsKnown(t *testing.T) {
	b := newBed(t, "serve")
	var died atomic.Int32
	b.o.Died = func() { died.Add(1) }
	require.NoError(t, b.Open(t.Context(), maxBytes, b.events))
	for range 3 { // so that it is known to be fast
		require.Equal(t, engine.Returned, b.begin("").end().Fate)
	}
	dies := b.begin("die")
	behind := []*attempt{b.begin(""), b.begin("")}
	e := dies.end()
	require.Equal(t, engine.Died, e.Fate)
	require.EqualError(t, e.Err, "the worker ended with code 1")
	require.Equal(t, []string{"told before"}, dies.outputs(), "what it wrote before counts")
	for _, a := range behind {
		require.Equal(t, engine.NotBegun, a.end().Fate)
	}
	eventually(t, "it is up again", func() bool { return len(b.events.list()) == 2 })
	require.Equal(t, []string{"down: ended with code 1", "up"}, b.events.list())
	require.EqualValues(t, 1, died.Load())
	a := b.begin("")
	require.Equal(t, engine.Returned, a.end().Fate)
	require.Equal(t, []string{"done"}, a.outputs())
}

func TestAttemptsAreNotBegunWhileThereIsNoWorker(t *testing.T) {
	b := newBed(t, "serve")
	require.Equal(t, engine.NotBegun, b.begin("").end().Fate)
}

func TestRunsBeginInOrderOneAtATime(t *testing.T) {
	b := open(t, "serve")
	file := filepath.Join(t.TempDir(), "go on")
	first, second := b.begin("wait for "+file), b.begin("")
	<-first.began
	select {
	case <-second.began:
		require.Fail(t, "the second has begun")
	default:
	}
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, engine.Returned, first.end().Fate)
	<-second.began
	require.Equal(t, engine.Returned, second.end().Fate)
}

func TestWorkerThatDoesNotReadHoldsUpNobody(t *testing.T) {
	b := open(t, "deaf")
	var all []*attempt
	for range 20 {
		all = append(all, b.begin(strings.Repeat("x", 1<<20)))
	}
	b.stop() // the process can wait no longer
	require.Equal(t, engine.Died, all[0].end().Fate)
	for _, a := range all[1:] {
		require.Equal(t, engine.NotBegun, a.end().Fate)
	}
}

func TestARunWhoseTurnComesTooLateIsNotBegunAndTheNextOneIs(t *testing.T) {
	b := open(t, "serve")
	late := b.begin("", func(a *engine.Attempt) { a.Expires = time.Now() })
	next := b.begin("", func(a *engine.Attempt) { a.Expires = time.Now().Add(time.Hour) })
	require.Equal(t, engine.NotBegun, late.end().Fate)
	<-next.began
	require.Equal(t, engine.Returned, next.end().Fate)
	require.Empty(t, b.events.list(), "the worker lives")
}

func TestWorkerThatClosesItsSocketIsEnded(t *testing.T) {
	b := open(t, "serve")
	require.Equal(t, engine.Died, b.begin("stop reading").end().Fate)
	eventually(t, "it is up again", func() bool { return len(b.events.list()) == 2 })
}

func TestWorkerThatSpeaksOfWhatIsNotUnderWayIsEnded(t *testing.T) {
	b := open(t, "serve")
	require.Equal(t, engine.Died, b.begin("unknown run").end().Fate)
	require.Contains(t, b.log.String(), "it speaks of run 1000, which is not under way")
}

func TestStoppedWorkerEndsByItself(t *testing.T) {
	b := open(t, "serve")
	require.Equal(t, engine.Returned, b.begin("print").end().Fate)
	life := b.life
	b.Stop()
	<-life.done
	require.Zero(t, life.end.Code)
	require.Empty(t, b.events.list())
	require.NotContains(t, b.log.String(), "started again")
	require.Equal(t, engine.NotBegun, b.begin("").end().Fate)
	require.Equal(t, "a line\n", b.log.String())
}

func TestWhatAStoppedWorkerHasNotBegunIsGivenBackAtOnce(t *testing.T) {
	b := open(t, "serve")
	file := filepath.Join(t.TempDir(), "go on")
	first, behind := b.begin("wait for "+file), []*attempt{b.begin(""), b.begin("")}
	<-first.began
	life := b.life
	b.Stop()
	for _, a := range behind {
		require.Equal(t, engine.NotBegun, a.end().Fate)
	}
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, engine.Returned, first.end().Fate)
	<-life.done // this one has run the others nevertheless
	require.Zero(t, life.end.Code)
}

func TestWhatAWorkerLeavesRunningIsEndedAndDelaysNothing(t *testing.T) {
	b := open(t, "serve")
	require.Equal(t, engine.Died, b.begin("leave children").end().Fate)
	pids := 0
	for line := range strings.Lines(b.log.String()) {
		text, ok := strings.CutPrefix(line, "child ")
		if !ok {
			continue
		}
		pids++
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		require.NoError(t, err)
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	require.Equal(t, 2, pids)
}

func TestReplacedWorkerFinishesWhatItHasBegun(t *testing.T) {
	b := open(t, "serve")
	file := filepath.Join(t.TempDir(), "go on")
	old := b.begin("wait for " + file)
	<-old.began
	behind := b.begin("")
	before := b.life
	require.NoError(t, b.Replace())
	require.NotSame(t, before, b.life)
	require.Equal(t, engine.Returned, b.begin("").end().Fate, "the new one takes attempts")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, engine.Returned, old.end().Fate)
	require.Contains(t, []engine.Fate{engine.Returned, engine.NotBegun}, behind.end().Fate)
	<-before.done
	require.Empty(t, b.events.list(), "nobody was down")
}

func TestWorkerThatCannotBeReplacedGoesOn(t *testing.T) {
	b := open(t, "serve")
	b.o.Env = options("fail", nil).Env
	var ended *EndedError
	require.ErrorAs(t, b.Replace(), &ended)
	require.Equal(t, 7, ended.Code)
	require.Equal(t, engine.Returned, b.begin("").end().Fate)
	require.Empty(t, b.events.list())
}

func TestWhatTheNewWorkerStartedOutlivesTheOldOne(t *testing.T) {
	b := open(t, "serve")
	daemon := func() int {
		file := filepath.Join(t.TempDir(), "pid")
		require.Equal(t, engine.Returned, b.begin("daemon "+file).end().Fate)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		return pid
	}
	file := filepath.Join(t.TempDir(), "go on")
	old := daemon()
	waits := b.begin("wait for " + file)
	<-waits.began
	before := b.life
	require.NoError(t, b.Replace())
	young := daemon()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	<-before.done
	require.True(t, gone(old))
	require.False(t, gone(young))
	b.Close()
	require.True(t, gone(young))
}

func TestWhatAWorkerLeftAndEndsByItselfIsReaped(t *testing.T) {
	t.Setenv("SECONDS_TO_LIVE", "0")
	b := open(t, "serve")
	file := filepath.Join(t.TempDir(), "pid")
	require.Equal(t, engine.Returned, b.begin("daemon "+file).end().Fate)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	eventually(t, "it is reaped", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(text)))
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestKilledRunnerTakesItsWorkerAlong(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), behaviour+"=parent")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0), "it runs")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	eventually(t, "it has ended", func() bool { return gone(pid) })
}

// gone tells whether a process has ended: whoever it is a child of now may not have looked at it yet.
func gone(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(text), ") Z ")
}

func TestLongLineSaysHowMuchIsMissing(t *testing.T) {
	in, out, err := os.Pipe()
	require.NoError(t, err)
	var all []string
	l := passOn(in, func(line []byte) { all = append(all, string(line)) })
	go func() {
		_, _ = out.WriteString("short\n" + strings.Repeat("x", maxLine+10) + "\n\nlast")
		_ = out.Close()
	}()
	<-l.drained
	require.Equal(t, []string{"short", strings.Repeat("x", maxLine) + "… (10 more bytes)", "", "last"}, all)
}

func TestLinesOfACrashAreErrors(t *testing.T) {
	var c crash
	for _, one := range []struct {
		line  string
		error bool
	}{
		{"loading", false},
		{"Traceback (most recent call last):", true},
		{`  File "a.py", line 1, in <module>`, true},
		{"KeyError: 'x'", true},
		{"", true},
		{"During handling of the above exception, another exception occurred:", true},
		{"", true},
		{"Traceback (most recent call last):", true},
		{"    1/0", true},
		{"ZeroDivisionError: division by zero", true},
		{"going on", false},
		{"  | ", false},
		{"Fatal Python error: Segmentation fault", true},
		{"", true},
		{"Current thread 0x00007f (most recent call first):", true},
		{`  File "a.py", line 3 in f`, true},
		{"done", false},
	} {
		require.Equal(t, one.error, c.error([]byte(one.line)), one.line)
	}
}
