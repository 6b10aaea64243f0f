// Package log makes the logger of a program: one JSON object per line on standard output, or lines for people. It
// fixes the keys that all programs share, so that a line means the same whoever wrote it. It keeps no global logger.
package log

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Keys that every line has.
const (
	KeyTime    = "time"    // RFC 3339 with microseconds, UTC
	KeyLevel   = "level"   // debug, info, warn, error
	KeyMessage = "message" // constant text, lower case
)

// Keys of what a line is about. Use the constructors below rather than the keys.
const (
	KeyRuntime   = "runtime"
	KeyVersion   = "version"
	KeyWorkflow  = "workflow"
	KeyNode      = "node"
	KeyRequestID = "request_id"
	KeyError     = "error"
)

// The two formats of a line.
const (
	JSON = "json"
	Text = "text"
)

// Flags are the flags of a program that logs, for a kong struct. The zero value means JSON from level info.
type Flags struct {
	LogFormat string `help:"How log lines are written: json or text." enum:"json,text" default:"json" env:"KRE_LOG_FORMAT"`
	LogLevel  string `help:"Lowest level that is logged: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"KRE_LOG_LEVEL"`
}

// New returns a logger that writes to standard output as the flags say.
func New(flags Flags) (*zap.Logger, error) {
	return NewWriter(flags, os.Stdout)
}

// NewWriter is New with another destination, which it serializes writes to.
func NewWriter(flags Flags, w io.Writer) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if flags.LogLevel != "" {
		if err := level.Set(flags.LogLevel); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", flags.LogLevel)
		}
	}
	var encoder zapcore.Encoder
	switch flags.LogFormat {
	case "", JSON:
		encoder = zapcore.NewJSONEncoder(jsonFormat())
	case Text:
		encoder = zapcore.NewConsoleEncoder(textFormat())
	default:
		return nil, fmt.Errorf("log format %q: want %s or %s", flags.LogFormat, JSON, Text)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}

func jsonFormat() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey: KeyTime, LevelKey: KeyLevel, MessageKey: KeyMessage, NameKey: "logger", StacktraceKey: "stack",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeTime: func(t time.Time, to zapcore.PrimitiveArrayEncoder) {
			to.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000Z"))
		},
	}
}

func textFormat() zapcore.EncoderConfig {
	format := jsonFormat()
	format.EncodeLevel = func(level zapcore.Level, to zapcore.PrimitiveArrayEncoder) {
		to.AppendString(fmt.Sprintf("%-5s", level.CapitalString()))
	}
	format.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	format.ConsoleSeparator = "  "
	return format
}

// Runtime names the runtime that a line is about.
func Runtime(name string) zap.Field { return zap.String(KeyRuntime, name) }

// Version names the version that a line is about.
func Version(name string) zap.Field { return zap.String(KeyVersion, name) }

// Workflow names the workflow that a line is about.
func Workflow(name string) zap.Field { return zap.String(KeyWorkflow, name) }

// Node names the node that a line is about.
func Node(name string) zap.Field { return zap.String(KeyNode, name) }

// RequestID is the id of the request that a line is about.
func RequestID(id string) zap.Field { return zap.String(KeyRequestID, id) }

// Error is what went wrong; nil leaves the key out.
func Error(err error) zap.Field { return zap.NamedError(KeyError, err) }
