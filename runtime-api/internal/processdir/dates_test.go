package processdir_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

func says(at time.Time, message string) string {
	return `{"time":"` + at.UTC().Format(time.RFC3339Nano) + `","message":"` + message + `"}` + "\n"
}

// started writes that a process runs since then.
func (f *fixture) started(t *testing.T, version, process string, at time.Time) {
	t.Helper()
	content, err := json.Marshal(proc.Record{State: proc.StateReady, Started: at})
	require.NoError(t, err)
	dir := filepath.Join(f.root, "versions", version, "state")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, process+".json"), content, 0o600))
}

// lateness tells whether lines are known to be stored long after their time, so that every search looks further.
func (f *fixture) lateness(t *testing.T) bool {
	t.Helper()
	conn, err := nats.Connect(f.url)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	bucket, err := js.KeyValue(t.Context(), "log_positions")
	require.NoError(t, err)
	_, err = bucket.Get(t.Context(), "_lateness")
	if err != nil {
		require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	}
	return err == nil
}

func TestALineIsNeitherOfLaterNorOfLongBeforeItCame(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.follow(t, f.logs)
	const process = "estimate.model-0"
	honest := time.Now()
	f.print(t, "prices-v1", process, says(honest, "honest"))
	f.await(t, "prices-v1", 1)
	lies := []time.Time{{}, time.Unix(0, 0), honest.AddDate(0, 0, -1), honest.Add(-time.Hour), honest.Add(time.Hour), honest.AddDate(900, 0, 0)}
	for i, lie := range lies {
		f.print(t, "prices-v1", process, says(lie, "lie")+says(time.Now(), "honest"))
		lines := f.await(t, "prices-v1", 3+2*i)
		told := lines[1+2*i].Entry()
		require.Equal(t, lines[1+2*i].Stored, told.Time, "%s", lie)
		require.Equal(t, lie.UTC().Format(time.RFC3339Nano), told.Fields["time"], "what it told can still be read")
		for _, line := range []logbook.Line{lines[0], lines[2+2*i]} {
			require.Equal(t, "honest", line.Entry().Message)
			require.Equal(t, logbook.TimeOf(line.Text), line.Entry().Time)
			require.Empty(t, line.Entry().Fields)
		}
	}
	require.False(t, f.lateness(t), "no search looks further for it")
}

func TestWhatWasPrintedWhileNobodyLookedKeepsItsTime(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	const process = "estimate.model-0"
	began := time.Now().Add(-3 * time.Hour)
	f.started(t, "prices-v1", process, began)
	f.print(t, "prices-v1", process, says(began.Add(-time.Hour), "a lie")+says(began.Add(time.Hour), "true"))
	_, end := f.follow(t, f.logs)
	lines := f.await(t, "prices-v1", 2)
	require.Equal(t, lines[0].Stored, lines[0].Entry().Time)
	require.True(t, began.Add(time.Hour).Equal(lines[1].Entry().Time))
	require.True(t, f.lateness(t))

	// Nobody looks again; what comes then is not from before what was stored last.
	end()
	f.print(t, "prices-v1", process, says(began, "a lie")+says(began.Add(2*time.Hour), "true"))
	f.follow(t, f.logs)
	lines = f.await(t, "prices-v1", 4)
	require.Equal(t, lines[2].Stored, lines[2].Entry().Time)
	require.True(t, began.Add(2*time.Hour).Equal(lines[3].Entry().Time))
}
