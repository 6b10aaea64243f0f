package logline_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

var record = logline.Record{
	Level: logline.Error, Message: "attempt 1 of 3\nfailed", RequestID: "01JD", MessageID: "5f0c", Attempt: 1,
	Err: "no <price>", Stack: "main.go:7\n",
}

func TestRecordIsOneLineOfJSON(t *testing.T) {
	var out bytes.Buffer
	logline.New(&out, logline.Options{Origin: logline.Origin{Version: "v1", Workflow: "flow", Node: "etl"}}).Write(record)
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")))
	require.Contains(t, out.String(), `"no <price>"`)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	at, err := time.Parse(time.RFC3339Nano, line["time"].(string))
	require.NoError(t, err)
	require.Equal(t, time.UTC, at.Location())
	delete(line, "time")
	require.Equal(t, map[string]any{
		"level": "error", "message": "attempt 1 of 3\nfailed", "version": "v1", "workflow": "flow", "node": "etl",
		"request_id": "01JD", "message_id": "5f0c", "attempt": 1.0, "error": "no <price>", "stack": "main.go:7\n",
	}, line)
}

func TestRecordForPeopleIsALineAndTheStack(t *testing.T) {
	var out bytes.Buffer
	log := logline.New(&out, logline.Options{Text: true, Origin: logline.Origin{Node: "etl"}})
	log.Write(record)
	log.Printf(logline.Info, "ready in %d ms", 5)
	require.Regexp(t, `^[0-9:.]{12} ERROR etl attempt 1 of 3 failed error="no <price>" request_id=01JD message_id=5f0c attempt=1
main.go:7
[0-9:.]{12} INFO  etl ready in 5 ms
$`, out.String())
}

func TestOnlyRecordsFromTheLevelOnAreWritten(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "": 3, "info": 3, "warn": 2, "error": 1} {
		from, err := logline.ParseLevel(level)
		require.NoError(t, err)
		var out bytes.Buffer
		log := logline.New(&out, logline.Options{Level: from})
		for _, one := range []logline.Level{logline.Debug, logline.Info, logline.Warn, logline.Error} {
			log.Printf(one, "hello")
		}
		require.Equal(t, want, bytes.Count(out.Bytes(), []byte("\n")), level)
	}
	_, err := logline.ParseLevel("loud")
	require.EqualError(t, err, `"loud" is not a level: want debug, info, warn or error`)
}

func TestLongRecordIsShortenedAndSaysByHowMuch(t *testing.T) {
	var out bytes.Buffer
	log := logline.New(&out, logline.Options{})
	log.Write(logline.Record{
		Level: logline.Error, Message: strings.Repeat("é", logline.MaxText/2) + "x", Err: "short", Stack: strings.Repeat("s", logline.MaxText),
	})
	var line struct{ Level, Message, Error, Stack string }
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "error", line.Level)
	require.Equal(t, "short", line.Error)
	require.Less(t, len(line.Message)+len(line.Stack), logline.MaxText+100)
	require.Regexp(t, `^é+… \(\d+ more bytes\)$`, line.Message)
	require.Regexp(t, `^s+… \(\d+ more bytes\)$`, line.Stack)
}

func TestRecordThatFitsIsWhole(t *testing.T) {
	var out bytes.Buffer
	text := strings.Repeat("\x00\"", logline.MaxText/2) // longer as JSON
	logline.New(&out, logline.Options{}).Printf(logline.Info, "%s", text)
	var line struct{ Message string }
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, text, line.Message)
}
