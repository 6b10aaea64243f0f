package process

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// errOver is returned by a step after which there will be none.
var errOver = errors.New("over")

// loop does one step again and again: whenever it is poked, and after a pause where the step failed. A step looks at
// everything anew, so it does not matter how often it runs.
type loop struct {
	step func(ctx context.Context) error
	wake chan struct{}

	mu        sync.Mutex
	interrupt context.CancelFunc // of the step that runs
	renewed   bool
}

func newLoop(step func(ctx context.Context) error) *loop {
	return &loop{step: step, wake: make(chan struct{}, 1)}
}

// poke says that something may have changed.
func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// renew says that something else should be: a step that runs is interrupted.
func (l *loop) renew() {
	l.mu.Lock()
	l.renewed = true
	if l.interrupt != nil {
		l.interrupt()
	}
	l.mu.Unlock()
	l.poke()
}

// run does steps until ctx ends or one is the last.
func (l *loop) run(ctx context.Context) {
	var pause time.Duration
	for {
		err := l.once(ctx)
		if ctx.Err() != nil || errors.Is(err, errOver) {
			return
		}
		var retry <-chan time.Time
		if err == nil || l.takeRenewed() {
			pause = 0
		}
		if err != nil {
			pause = min(max(2*pause, firstRetry), lastRetry)
			retry = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-retry:
		}
	}
}

func (l *loop) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.interrupt, l.renewed = cancel, false
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.interrupt = nil
	}()
	return l.step(ctx)
}

func (l *loop) takeRenewed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	renewed := l.renewed
	l.renewed = false
	return renewed
}

// sleep waits, and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
