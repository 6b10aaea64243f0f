package log_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
)

func TestJSONIsTheDefaultAndUsesTheFixedKeys(t *testing.T) {
	var out bytes.Buffer
	logger, err := log.NewWriter(log.Flags{}, &out)
	require.NoError(t, err)

	logger.Warn("node ended", log.Runtime("r"), log.Version("v1"), log.Workflow("w"), log.Node("etl"),
		log.RequestID("01JD"), log.Error(errors.New("boom")), zap.Duration("after", 1500*time.Millisecond))

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	stamp, ok := line["time"].(string)
	require.True(t, ok)
	_, err = time.Parse(time.RFC3339Nano, stamp)
	require.NoError(t, err)
	delete(line, "time")
	require.Equal(t, map[string]any{
		"level": "warn", "message": "node ended", "runtime": "r", "version": "v1", "workflow": "w", "node": "etl",
		"request_id": "01JD", "error": "boom", "after": "1.5s",
	}, line)
}

func TestTextIsOneLineForPeople(t *testing.T) {
	var out bytes.Buffer
	logger, err := log.NewWriter(log.Flags{LogFormat: "text"}, &out)
	require.NoError(t, err)

	logger.Info("ready", log.Node("etl"))

	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3}  INFO   ready  \{"node": "etl"\}\n$`, out.String())
}

func TestLinesBelowTheLevelAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	logger, err := log.NewWriter(log.Flags{LogLevel: "warn"}, &out)
	require.NoError(t, err)

	logger.Info("unseen")
	logger.Warn("seen")

	require.NotContains(t, out.String(), "unseen")
	require.Contains(t, out.String(), `"message":"seen"`)
}

func TestRefusesAnUnknownFormatOrLevel(t *testing.T) {
	_, err := log.NewWriter(log.Flags{LogFormat: "xml"}, &bytes.Buffer{})
	require.EqualError(t, err, `log format "xml": want json or text`)
	_, err = log.NewWriter(log.Flags{LogLevel: "loud"}, &bytes.Buffer{})
	require.EqualError(t, err, `log level "loud": want debug, info, warn or error`)
}
