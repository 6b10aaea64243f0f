package kre

import (
	"fmt"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// Logger writes lines to the log of the node, with the ids of the message they belong to. It may be used by several
// goroutines at a time.
type Logger struct {
	log      *logline.Log
	exchange *exchange.Exchange // nil in init
}

// Debug writes what only helps who looks for a mistake.
func (l *Logger) Debug(message string) { l.write(logline.Debug, message) }

// Debugf is Debug with a format as of package fmt.
func (l *Logger) Debugf(format string, args ...any) {
	l.write(logline.Debug, fmt.Sprintf(format, args...))
}

// Info writes what happens in the normal course of things.
func (l *Logger) Info(message string) { l.write(logline.Info, message) }

// Infof is Info with a format as of package fmt.
func (l *Logger) Infof(format string, args ...any) {
	l.write(logline.Info, fmt.Sprintf(format, args...))
}

// Warn writes what somebody should look at some day.
func (l *Logger) Warn(message string) { l.write(logline.Warn, message) }

// Warnf is Warn with a format as of package fmt.
func (l *Logger) Warnf(format string, args ...any) {
	l.write(logline.Warn, fmt.Sprintf(format, args...))
}

// Error writes what went wrong. It does not fail the attempt; returning an error does, and is logged by itself.
func (l *Logger) Error(message string) { l.write(logline.Error, message) }

// Errorf is Error with a format as of package fmt.
func (l *Logger) Errorf(format string, args ...any) {
	l.write(logline.Error, fmt.Sprintf(format, args...))
}

func (l *Logger) write(level logline.Level, message string) {
	record := logline.Record{Level: level, Message: message}
	if l.exchange != nil {
		record.RequestID = l.exchange.Input.RequestID
		record.MessageID = l.exchange.Input.ID
		record.Attempt = l.exchange.Attempt
	}
	l.log.Write(record)
}
