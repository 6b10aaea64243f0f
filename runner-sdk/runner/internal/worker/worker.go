// Package worker has the handlers of a node run by a process of its own, as runner-sdk/spec/worker.md says: it starts the
// process, hands it attempts over a socket, passes on what it prints, and starts another one when it dies. It knows
// nothing of the broker.
package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	workerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/worker/v1"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/average"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

const (
	protocol    = 1
	concurrency = 1

	// What a worker is sent ahead of time: so much work, at most so many runs.
	ahead    = 10 * time.Millisecond
	maxAhead = 32

	// patience is how long a worker may take to end when it has nothing to do any more.
	patience = 2 * time.Second
	// answerFor is how long it may take to end what it has not begun.
	answerFor = 100 * time.Millisecond
)

// Options say what to start.
type Options struct {
	Command []string // of the worker: at least the program
	Dir     string   // working directory
	Env     []string // NAME=VALUE; what is for the runner alone is left out
	Node    config.Node
	Package string // root
	Log     *logline.Log
	Stderr  func(line []byte) // takes what the worker prints on its standard error
	Died    func()            // told of each worker that has died and is started again; nil: nobody is
}

// Worker runs attempts in a process, and starts that again when it dies. It takes every child of this process for its own, so
// that there is one at a time.
type Worker struct {
	o         Options
	maxOutput int
	events    engine.Events
	quit      chan struct{}  // closed when no further process is to be started
	running   sync.WaitGroup // what looks after processes

	replacing sync.Mutex // held while one process takes the place of another
	backoff   backoff    // used then
	living    family

	mu       sync.Mutex
	life     *life // takes attempts; nil: none does
	last     uint64
	spent    average.Of[time.Duration] // in a handler
	stopping bool
	closed   bool
	bounded  bool // by the attempts' context
}

// flight is an attempt that is under way.
type flight struct {
	number uint64
	a      *engine.Attempt
	begun  bool
}

// life is a process of a worker, from its start to its end.
type life struct {
	process *process
	to      *writer
	ready   chan struct{} // closed when it is ready
	isReady bool
	worked  bool // it has ended a run
	since   time.Time
	flights []*flight
	taken   map[uint64]bool // runs that were taken back: what it says of them is passed over
	stopped bool            // it was told so
	done    chan struct{}   // closed when it has ended
	end     *EndedError     // set then
	broken  error           // of the protocol
}

// stop tells a process that no more runs come. The lock is held.
func (w *Worker) stop(l *life) {
	if l.stopped {
		return
	}
	l.stopped = true
	l.to.send(&workerv1.ToWorker{Frame: &workerv1.ToWorker_Stop{Stop: &workerv1.Stop{}}})
	if len(l.flights) > concurrency {
		time.AfterFunc(answerFor, func() { w.takeBack(l) })
	}
}

// takeBack gives up the runs that a process, which is told to stop, has not begun: one that is in a handler may not say so
// before that has ended. Should it begin one all the same, that counts for nothing.
func (w *Worker) takeBack(l *life) {
	w.mu.Lock()
	var waiting []*flight
	l.flights = slices.DeleteFunc(l.flights, func(f *flight) bool {
		if !f.begun {
			waiting = append(waiting, f)
			l.taken[f.number] = true
		}
		return !f.begun
	})
	w.mu.Unlock()
	for _, f := range waiting {
		f.a.Ended(engine.Ending{Fate: engine.NotBegun})
	}
}

var _ engine.Hands = (*Worker)(nil)

// New returns a worker that is not started yet.
func New(o Options) *Worker { return &Worker{o: o, quit: make(chan struct{})} }

// Open starts the worker and returns when it is ready. The error is an *EndedError where it has ended instead.
func (w *Worker) Open(ctx context.Context, maxOutput int, events engine.Events) error {
	w.maxOutput, w.events = maxOutput, events
	w.running.Go(func() { w.living.watch(w.quit) })
	l, err := w.startReady(ctx.Done())
	switch {
	case errors.Is(err, errStopped):
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	w.take(l)
	return nil
}

// errStopped says that a process was no longer wanted before it was ready.
var errStopped = errors.New("the worker is not to be started any more")

// startReady starts a process and waits until it is ready. The error is an *EndedError where it has ended instead, errStopped
// where stop was closed first; either way nothing is left of it.
func (w *Worker) startReady(stop <-chan struct{}) (*life, error) {
	l, err := w.start()
	if err != nil {
		return nil, err
	}
	select {
	case <-l.ready:
		return l, nil
	case <-l.done:
		return nil, l.end
	case <-stop:
		w.letEnd(l)
		return nil, errStopped
	}
}

// start starts a process and what looks after it.
func (w *Worker) start() (*life, error) {
	if !w.enter() {
		return nil, errClosed
	}
	defer w.running.Done()
	l := &life{taken: make(map[uint64]bool), ready: make(chan struct{}), done: make(chan struct{}), since: time.Now()}
	err := w.living.add(func(mark string) (pid int, err error) {
		if l.process, err = spawn(w.o, mark, w.o.Log.Raw, w.complain()); err != nil {
			return 0, err
		}
		return l.process.Pid, nil
	})
	if err != nil {
		return nil, err
	}
	l.to = newWriter(l.process.socket)
	node := w.o.Node
	l.to.send(&workerv1.ToWorker{Frame: &workerv1.ToWorker_Hello{Hello: &workerv1.Hello{
		Protocol: protocol, Version: node.Version, Workflow: node.Workflow, Node: node.Name, Src: node.Src,
		Package: w.o.Package, Concurrency: concurrency, MaxOutputBytes: int64(w.maxOutput), LogLevel: w.level(),
	}}})
	read := make(chan struct{})
	w.running.Go(func() {
		defer close(read)
		w.listen(l)
	})
	w.running.Go(func() { w.await(l, read) })
	return l, nil
}

// enter has Close wait for what is being started, until running is told that it is done; or says that it is closed.
func (w *Worker) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.running.Add(1)
	return true
}

// complain passes on the lines of standard error: those of a crash are errors.
func (w *Worker) complain() func(line []byte) {
	var c crash
	return func(line []byte) {
		if c.error(line) {
			w.o.Log.Write(logline.Record{Level: logline.Error, Message: strings.ToValidUTF8(string(line), "\uFFFD")})
			return
		}
		w.o.Stderr(line)
	}
}

// level is the one from which on records are written.
func (w *Worker) level() workerv1.Level {
	for _, level := range []workerv1.Level{workerv1.Level_LEVEL_DEBUG, workerv1.Level_LEVEL_INFO, workerv1.Level_LEVEL_WARN} {
		if w.o.Log.Enabled(levels[level]) {
			return level
		}
	}
	return workerv1.Level_LEVEL_ERROR
}

// await looks after a process to its end.
func (w *Worker) await(l *life, read <-chan struct{}) {
	state, err := l.process.Wait()
	end := endOf(state, err)
	// What it has written counts, whoever else still holds the other ends.
	shut(l.process.socket)
	<-read
	l.process.out.finish()
	l.process.errors.finish()
	l.to.close()
	_ = l.process.socket.Close() // it is read to its end
	w.living.remove(l.process.Pid)
	if l.broken != nil {
		w.o.Log.Write(logline.Record{Level: logline.Error, Message: "the worker was ended", Err: l.broken.Error()})
		end = &EndedError{Code: 1, Reason: "was ended: " + l.broken.Error()}
	}
	if !l.isReady {
		end.Reason += " before it was ready"
	}
	l.end = end
	w.died(l)
	close(l.done)
}

// died gives back what the process had, and has another one started.
func (w *Worker) died(l *life) {
	w.mu.Lock()
	flights := l.flights
	l.flights = nil
	// One that never was ready, or was replaced, leaves nothing undone: whoever started it looks at its end.
	over := w.life != l || w.stopping || w.closed
	if w.life == l {
		w.life = nil
	}
	w.mu.Unlock()
	if !over {
		w.o.Log.Write(logline.Record{Level: logline.Error, Message: l.end.Error() + ", and is started again"})
		if w.o.Died != nil {
			w.o.Died()
		}
		w.events.Down(l.end.Reason)
	}
	for _, f := range flights {
		fate := engine.NotBegun
		if f.begun {
			fate = engine.Died
		}
		f.a.Ended(engine.Ending{Err: l.end, Fate: fate})
	}
	if !over {
		w.running.Go(func() { w.again(l) })
	}
}

// again starts a process in the place of one that has died.
func (w *Worker) again(before *life) {
	w.replacing.Lock()
	defer w.replacing.Unlock()
	w.mu.Lock()
	worked := before.worked
	w.mu.Unlock()
	select {
	case <-time.After(w.backoff.next(worked, time.Since(before.since))):
	case <-w.quit:
		return
	}
	l, err := w.startReady(w.quit)
	switch {
	case errors.Is(err, errStopped):
	case err != nil:
		w.events.Lost(err)
	case w.take(l):
		w.events.Up()
	}
}

// take has a process take attempts.
func (w *Worker) take(l *life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.life = l
	if w.stopping {
		w.stop(l)
	}
	return true
}

// Replace starts another process, which takes attempts once it is ready; the one before finishes what it has begun. The
// error is an *EndedError where the new one has ended instead: the one before goes on then.
func (w *Worker) Replace() error {
	w.replacing.Lock()
	defer w.replacing.Unlock()
	l, err := w.startReady(w.quit)
	switch {
	case errors.Is(err, errStopped):
		return errClosed
	case err != nil:
		return err
	}
	w.mu.Lock()
	before := w.life
	if w.closed || before == nil {
		w.mu.Unlock()
		w.letEnd(l)
		return errClosed
	}
	w.life = l
	w.stop(before)
	if w.stopping {
		w.stop(l)
	}
	w.running.Go(func() { w.retire(before) })
	w.mu.Unlock()
	return nil
}

var errClosed = errors.New("there is no worker to replace")

// retireFor is how long a replaced process may go on with what it has begun.
const retireFor = 30 * time.Second

// retire sees a replaced process off.
func (w *Worker) retire(l *life) {
	select {
	case <-l.done:
		return
	case <-w.quit:
	case <-time.After(retireFor):
	}
	_ = l.process.Kill() // it may just have ended
	<-l.done
}

// Begin implements engine.Hands.
func (w *Worker) Begin(a *engine.Attempt) {
	w.mu.Lock()
	if w.life == nil || w.stopping {
		w.mu.Unlock()
		a.Ended(engine.Ending{Fate: engine.NotBegun})
		return
	}
	defer w.mu.Unlock()
	if !w.bounded {
		w.bounded = true
		context.AfterFunc(a.Context, w.kill)
	}
	w.last++
	f := &flight{number: w.last, a: a}
	w.life.flights = append(w.life.flights, f)
	w.life.begin()
	input := a.Exchange.Input
	run := &workerv1.Run{
		Run: f.number, Body: input.Body, Kind: kinds[input.Kind], Sender: input.Sender, RequestId: input.RequestID,
		MessageId: input.ID, Attempt: int32(a.Exchange.Attempt),
	}
	if !a.Deadline.IsZero() {
		run.DeadlineUnixUs = a.Deadline.UnixMicro()
	}
	if !a.Expires.IsZero() {
		run.ExpiresUnixUs = a.Expires.UnixMicro()
	}
	w.life.to.send(&workerv1.ToWorker{Frame: &workerv1.ToWorker_Run{Run: run}})
}

// begin takes note that the first of the flights have begun: a worker goes by their order. The worker's lock is held.
func (l *life) begin() {
	for _, f := range l.flights[:min(concurrency, len(l.flights))] {
		if !f.begun {
			f.begun = true
			f.a.Began()
		}
	}
}

// Room implements engine.Hands.
func (w *Worker) Room() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	spent := w.spent.Value()
	if spent == 0 {
		return concurrency
	}
	return max(concurrency, min(maxAhead, int(ahead/spent)))
}

// Stop implements engine.Hands.
func (w *Worker) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return
	}
	w.stopping = true
	if w.life != nil {
		w.stop(w.life)
	}
}

// Close implements engine.Hands: a worker with nothing to do is given a moment to end by itself.
func (w *Worker) Close() {
	w.mu.Lock()
	l := w.life
	idle := l == nil || len(l.flights) == 0
	if !w.closed {
		close(w.quit)
	}
	w.closed = true
	w.mu.Unlock()
	if l != nil && !idle {
		w.kill()
	}
	if l != nil {
		w.letEnd(l)
	}
	w.running.Wait()
}

// letEnd has a process end in good order, or else kills it, and returns when it has ended.
func (w *Worker) letEnd(l *life) {
	w.mu.Lock()
	w.stop(l)
	w.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(patience):
		_ = l.process.Kill() // it may just have ended
		<-l.done
	}
}

// kill ends the process at once.
func (w *Worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.life != nil {
		_ = w.life.process.Kill() // as above
	}
}

// find returns the flight of that number. The worker's lock is held.
func (l *life) find(number uint64) (int, *flight) {
	i := slices.IndexFunc(l.flights, func(f *flight) bool { return f.number == number })
	if i < 0 {
		return i, nil
	}
	return i, l.flights[i]
}

func unknownRun(number uint64) error {
	return fmt.Errorf("%w: it speaks of run %d, which is not under way", errProtocol, number)
}
