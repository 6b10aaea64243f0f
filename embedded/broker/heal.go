package broker

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/konstellation-io/kre/kit/ports"
)

// A stream that could not write once answers nobody who publishes to it for as long as its server runs, whatever becomes of
// the disk. So the watch starts the server again: without JetStream, so that publishers are told at once that nobody is there
// to store, and with it when the disk takes data again. All else goes on meanwhile, on the same address. Both times the
// clients connect anew, and so send again what nobody confirmed.
//
// Streams that have filled the disk themselves make no room while there is no JetStream. So it is tried from time to time also
// where there is little: those who take messages may take them then, and what is done is removed.

const (
	lookEvery = 500 * time.Millisecond
	// A disk that fails again within steadyAfter is given longer and longer to recover.
	steadyAfter  = time.Minute
	longestPause = 5 * time.Second
	// trialEach is how often it is tried with little room, and provenAfter how long that must go well to be told.
	trialEach   = 15 * time.Second
	provenAfter = 5 * time.Second
	// portWithin is how long a port may be taken after its server has gone: a connection may have been given it.
	portWithin = 5 * time.Second
)

// watch takes JetStream away and brings it back.
type watch struct {
	*Broker
	ceased  bool            // the server has no JetStream
	trial   bool            // it has, with little room; the reason stands until that is known to go well
	told    map[string]bool // reasons, since all was well
	resumed time.Time       // when it was brought back last
	pause   time.Duration   // from a fault to the next attempt to bring it back
	next    time.Time       // the earliest time of that attempt
	failure time.Time       // the last
}

// run watches until the context ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.ended)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.look(ctx)
	}
}

func (w *watch) look(ctx context.Context) {
	if w.ceased {
		w.tryToStore(ctx)
		return
	}
	if why := w.fault(); why != "" {
		w.ceaseToStore(ctx, why)
	} else if w.trial && time.Since(w.resumed) > provenAfter {
		w.storesAgain()
	}
}

// fault is why the server has ceased to store; empty: it has not.
func (w *watch) fault() string {
	if err := w.log.writeFailed(); err != nil {
		return w.ofDir(err)
	}
	if w.server.JetStreamEnabled() {
		return ""
	}
	// It has done this by itself: it does where it may not write.
	if _, err := room(w.dir); err != nil {
		return w.ofDir(err)
	}
	return "JetStream has shut itself down"
}

// ofDir names the store's directory where an error names a file of it.
func (w *watch) ofDir(err error) string {
	var disk syscall.Errno
	if errors.As(err, &disk) {
		err = disk
	}
	return err.Error() + " in " + w.dir
}

// ceaseToStore puts a server without JetStream in place of one that has ceased to store.
func (w *watch) ceaseToStore(ctx context.Context, why string) {
	if time.Since(w.resumed) > steadyAfter {
		w.pause = 0
	}
	if !w.trial {
		w.told = make(map[string]bool)
	}
	w.ceased, w.trial = true, false
	w.failed(ctx, why)
}

// tryToStore puts a server with JetStream in place of one without, if the disk takes data.
func (w *watch) tryToStore(ctx context.Context) {
	if time.Now().Before(w.next) {
		return
	}
	enough, err := room(w.dir)
	if err == nil && !enough && time.Since(w.failure) < trialEach {
		err = syscall.ENOSPC
	}
	if err != nil {
		w.tell(w.ofDir(err))
		if !w.server.Running() {
			w.goOnWithout(ctx)
		}
		return
	}
	if err := w.replace(ctx, true); err != nil {
		w.failed(ctx, err.Error())
		return
	}
	w.ceased, w.trial, w.resumed = false, !enough, time.Now()
	if enough {
		w.storesAgain()
	}
}

func (w *watch) storesAgain() {
	w.trial = false
	w.setReason("")
	w.say("the broker stores again")
}

// failed tells why and goes on without JetStream, for a while at least.
func (w *watch) failed(ctx context.Context, why string) {
	if ctx.Err() != nil {
		return
	}
	w.tell(why)
	w.failure = time.Now()
	w.next = w.failure.Add(w.pause)
	w.pause = min(max(2*w.pause, lookEvery), longestPause)
	w.goOnWithout(ctx)
}

// goOnWithout puts a server without JetStream in place of the one there is.
func (w *watch) goOnWithout(ctx context.Context) {
	if err := w.replace(ctx, false); err != nil && ctx.Err() == nil {
		w.tell(err.Error())
	}
}

// replace puts another server in place of the one there is.
func (w *watch) replace(ctx context.Context, jetStream bool) error {
	w.shut()
	for end := time.Now().Add(portWithin); !ports.Free(ports.Loopback, w.port) && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return w.serve(ctx, jetStream)
}

// tell makes it known why nothing is stored, each reason once.
func (w *watch) tell(why string) {
	w.setReason(why)
	if w.told[why] {
		return
	}
	w.told[why] = true
	until := "once that is over"
	if strings.HasPrefix(why, syscall.ENOSPC.Error()) || strings.HasPrefix(why, syscall.EDQUOT.Error()) {
		until = "once there is room"
	}
	w.say("the broker stores nothing: " + why + "; it goes on by itself " + until)
}

func (w *watch) say(text string) {
	if w.warn != nil {
		w.warn(text)
	}
}
