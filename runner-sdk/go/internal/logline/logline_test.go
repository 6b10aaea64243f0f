package logline_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/logline"
)

var record = logline.Record{
	Level: logline.Error, Message: "attempt 1 of 3\nfailed", RequestID: "01JD", MessageID: "5f0c", Attempt: 1,
	Err: "no <price>", Stack: "main.go:7\n",
}

func TestRecordIsOneLineOfJSON(t *testing.T) {
	var out bytes.Buffer
	logline.New(&out, false, logline.Origin{Version: "v1", Workflow: "flow", Node: "etl"}).Write(record)
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
	log := logline.New(&out, true, logline.Origin{Node: "etl"})
	log.Write(record)
	log.Printf(logline.Info, "ready in %d ms", 5)
	require.Regexp(t, `^[0-9:.]{12} ERROR etl attempt 1 of 3 failed error="no <price>" request_id=01JD message_id=5f0c attempt=1
main.go:7
[0-9:.]{12} INFO  etl ready in 5 ms
$`, out.String())
}
