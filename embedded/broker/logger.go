package broker

import (
	"fmt"
	"sync"
)

// logger hands on what a person should know and drops the server's diary.
type logger struct {
	warn  func(string)
	fatal chan struct{} // closed by the first complaint the server cannot live with
	mu    sync.Mutex
	last  string
	dead  bool
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

func (l *logger) tell(format string, v []any) {
	text := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.last = text
	l.mu.Unlock()
	if l.warn != nil {
		l.warn(text)
	}
}

// Warnf is part of the server's Logger.
func (l *logger) Warnf(format string, v ...any) { l.tell(format, v) }

// Errorf is part of the server's Logger.
func (l *logger) Errorf(format string, v ...any) { l.tell(format, v) }

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
