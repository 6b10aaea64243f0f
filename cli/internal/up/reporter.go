package up

import (
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
)

// reporter shows what the embedded stores warn of.
type reporter struct {
	screen *screen.Screen
	fields []zapcore.Field
}

var _ zapcore.Core = (*reporter)(nil)

// Enabled is for warnings and what is graver.
func (*reporter) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

// With adds fields to what is written.
func (r *reporter) With(fields []zapcore.Field) zapcore.Core {
	return &reporter{screen: r.screen, fields: append(r.fields[:len(r.fields):len(r.fields)], fields...)}
}

// Check adds itself to those who write an entry.
func (r *reporter) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if r.Enabled(entry.Level) {
		return checked.AddCore(entry, r)
	}
	return checked
}

// Write shows an entry.
func (r *reporter) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		MessageKey: "message", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder,
	}).EncodeEntry(entry, append(r.fields[:len(r.fields):len(r.fields)], fields...))
	if err != nil {
		return err
	}
	r.screen.Log("stores", strings.TrimSpace(line.String()))
	line.Free()
	return nil
}

// Sync has nothing to do.
func (*reporter) Sync() error { return nil }
