package worker

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	workerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/worker/v1"
	"github.com/konstellation-io/kre/runner-sdk/go/engine"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

var kinds = map[wire.Kind]workerv1.Kind{
	wire.OK: workerv1.Kind_KIND_OK, wire.Error: workerv1.Kind_KIND_ERROR,
	wire.EarlyReply: workerv1.Kind_KIND_EARLY_REPLY, wire.EarlyExit: workerv1.Kind_KIND_EARLY_EXIT,
}

var levels = map[workerv1.Level]logline.Level{
	workerv1.Level_LEVEL_DEBUG: logline.Debug, workerv1.Level_LEVEL_INFO: logline.Info,
	workerv1.Level_LEVEL_WARN: logline.Warn, workerv1.Level_LEVEL_ERROR: logline.Error,
}

// listen takes the frames of a process until there are none. It never waits for anything else.
func (w *Worker) listen(l *life) {
	frames := newReader(l.process.socket, w.maxOutput+frameRoom)
	for {
		frame, err := frames.next()
		if err == nil {
			err = w.heard(l, frame)
		}
		switch {
		case errors.Is(err, errProtocol):
			l.broken = err
			_ = l.process.Kill()
			return
		case err != nil:
			// The end of the socket. A process that lives on without one can do nothing.
			time.AfterFunc(patience, func() { _ = l.process.Kill() })
			return
		}
	}
}

// heard does what a frame says.
func (w *Worker) heard(l *life, frame *workerv1.FromWorker) error {
	switch f := frame.GetFrame().(type) {
	case *workerv1.FromWorker_Ready:
		if l.isReady {
			return fmt.Errorf("%w: it says twice that it is ready", errProtocol)
		}
		if f.Ready.GetProtocol() != protocol {
			return fmt.Errorf("%w: it speaks version %d of it, and this runner %d", errProtocol, f.Ready.GetProtocol(), protocol)
		}
		l.isReady = true
		w.o.Log.Printf(logline.Debug, "the worker is ready: %s", f.Ready.GetRuntime())
		close(l.ready)
	case *workerv1.FromWorker_Output:
		return w.output(l, f.Output)
	case *workerv1.FromWorker_End:
		return w.end(l, f.End)
	case *workerv1.FromWorker_Log:
		w.log(f.Log)
	}
	return nil // what is unknown is passed over
}

func (w *Worker) output(l *life, o *workerv1.Output) error {
	var kind wire.Kind
	switch o.GetKind() {
	case workerv1.Kind_KIND_OK:
		kind = wire.OK
	case workerv1.Kind_KIND_EARLY_REPLY:
		kind = wire.EarlyReply
	case workerv1.Kind_KIND_EARLY_EXIT:
		kind = wire.EarlyExit
	default:
		return fmt.Errorf("%w: an output of kind %s", errProtocol, o.GetKind())
	}
	w.mu.Lock()
	_, f := l.find(o.GetRun())
	begun, taken := f != nil && f.begun, l.taken[o.GetRun()]
	w.mu.Unlock()
	if taken {
		return nil
	}
	if !begun {
		return unknownRun(o.GetRun())
	}
	// What is too large makes the attempt a failed one.
	_ = f.a.Exchange.SendBody(kind, o.GetChannel(), o.GetBody())
	return nil
}

func (w *Worker) end(l *life, end *workerv1.End) error {
	w.mu.Lock()
	i, f := l.find(end.GetRun())
	if l.taken[end.GetRun()] {
		w.mu.Unlock()
		return nil
	}
	if f == nil {
		w.mu.Unlock()
		return unknownRun(end.GetRun())
	}
	outcome := end.GetOutcome()
	spent := time.Duration(end.GetHandlerUs()) * time.Microsecond
	switch {
	case outcome == workerv1.End_OUTCOME_NOT_BEGUN:
	case !f.begun:
		w.mu.Unlock()
		return fmt.Errorf("%w: run %d ended before those that came before it", errProtocol, end.GetRun())
	default:
		l.worked = true
		w.spent.See(max(spent, time.Microsecond))
	}
	l.flights = append(l.flights[:i], l.flights[i+1:]...)
	if !l.stopped || outcome != workerv1.End_OUTCOME_NOT_BEGUN {
		l.begin()
	}
	w.mu.Unlock()

	ending := engine.Ending{Where: end.GetWhere(), Stack: end.GetStack(), Spent: max(spent, time.Microsecond)}
	switch outcome {
	case workerv1.End_OUTCOME_DONE:
	case workerv1.End_OUTCOME_FAILED:
		ending.Err = errors.New(end.GetError())
	case workerv1.End_OUTCOME_FINAL:
		ending.Err = exchange.Coded(errors.New(end.GetError()), end.GetCode())
	case workerv1.End_OUTCOME_FORWARDED:
		f.a.Exchange.Forward()
	case workerv1.End_OUTCOME_IGNORED:
		f.a.Exchange.Drop()
	case workerv1.End_OUTCOME_NOT_BEGUN:
		ending.Fate = engine.NotBegun
	default:
		ending.Err = fmt.Errorf("the worker ends a run as %s, which this runner does not know", outcome)
	}
	f.a.Ended(ending)
	return nil
}

func (w *Worker) log(r *workerv1.LogRecord) {
	level, ok := levels[r.GetLevel()]
	if !ok {
		level = logline.Info
	}
	record := logline.Record{
		Level: level, Message: r.GetMessage(), RequestID: r.GetRequestId(), MessageID: r.GetMessageId(), Attempt: int(r.GetAttempt()),
		Err: r.GetError(), Stack: r.GetStack(),
	}
	if at := r.GetTimeUnixNs(); at > 0 {
		record.Time = time.Unix(0, at)
	}
	w.o.Log.Write(record)
}

// shut ends the reading of a socket once what it holds is read, even if somebody else still holds the other end.
func shut(socket *os.File) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) })
}
