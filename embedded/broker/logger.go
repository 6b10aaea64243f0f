package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
)

// logger hands on what a person should know and drops the server's diary.
type logger struct {
	warn  func(string)
	fatal chan struct{} // closed by the first complaint the server cannot live with
	mu    sync.Mutex
	last  string
	dead  bool
	quiet bool  // nobody is told
	lost  error // the first write that failed
}

// writeError ends what the server says of a stream to which it will never write again. It says so in the log alone, but for
// its health page, which also looks for accounts that were removed: it waits for each of them, and complains of it.
const writeError = "ritical write error: %v"

// writeFailed is why the server does not write to some stream any more; nil: it writes to all.
func (l *logger) writeFailed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// note remembers a write that failed: one of a stream, or, where the disk is at fault, one of a store in front of a stream,
// such as an open batch. The broker is about to tell of it, so that the server's further complaints are dropped.
func (l *logger) note(format string, v []any) {
	if !strings.HasSuffix(format, writeError) || len(v) == 0 {
		return
	}
	err, ok := v[len(v)-1].(error)
	if !ok || !strings.HasPrefix(format, "JetStream stream") && !ofDisk(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = err
	}
}

func ofDisk(err error) bool {
	for _, disk := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS} {
		if errors.Is(err, disk) {
			return true
		}
	}
	return false
}

// reason is the last complaint of the server.
func (l *logger) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return "it did not become ready in time"
	}
	return l.last
}

// speak ends that nobody is told.
func (l *logger) speak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet = false
}

func (l *logger) tell(format string, v []any) {
	text := fmt.Sprintf(format, v...)
	l.mu.Lock()
	if !l.dead {
		l.last = text
	}
	known := l.lost != nil || l.quiet
	l.mu.Unlock()
	if l.warn != nil && !known {
		l.warn(text)
	}
}

// Warnf is part of the server's Logger.
func (l *logger) Warnf(format string, v ...any) { l.tell(format, v) }

// Errorf is part of the server's Logger.
func (l *logger) Errorf(format string, v ...any) {
	l.note(format, v)
	l.tell(format, v)
}

// Fatalf is part of the server's Logger. Unlike the server's own logger it does not end the process: Start says what
// went wrong.
func (l *logger) Fatalf(format string, v ...any) {
	l.tell(format, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		l.dead = true
		close(l.fatal)
	}
}

// Noticef is part of the server's Logger.
func (l *logger) Noticef(string, ...any) {}

// Debugf is part of the server's Logger.
func (l *logger) Debugf(string, ...any) {}

// Tracef is part of the server's Logger.
func (l *logger) Tracef(string, ...any) {}
