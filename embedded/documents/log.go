package documents

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// handler hands FerretDB's warnings and errors on to zap and drops its diary. Attributes of derived loggers are dropped
// too: they name the connection, which tells nobody anything behind the proxy.
type handler struct {
	log  *zap.Logger
	name string
}

// Enabled is part of slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle is part of slog.Handler. What FerretDB answered is told to who asked, and may hold what is nobody else's business.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "Response ") {
		return nil
	}
	level := zapcore.WarnLevel
	if r.Level >= slog.LevelError {
		level = zapcore.ErrorLevel
	}
	fields := make([]zap.Field, 0, r.NumAttrs()+1)
	if h.name != "" {
		fields = append(fields, zap.String("part", h.name))
	}
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zap.String(a.Key, a.Value.String()))
		return true
	})
	h.log.Log(level, r.Message, fields...)
	return nil
}

// WithAttrs is part of slog.Handler.
func (h *handler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup is part of slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{log: h.log, name: name} }
