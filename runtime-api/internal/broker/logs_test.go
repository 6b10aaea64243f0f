package broker_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

// controls is a record whose message is random control characters, which JSON writes six times as long.
func controls(count int) []byte {
	var text strings.Builder
	text.WriteString(`{"message":"`)
	dice := rand.New(rand.NewPCG(1, 2))
	for range count {
		text.WriteString(`\u00` + string("01"[dice.IntN(2)]) + string("0123456789abcdef"[dice.IntN(16)]))
	}
	text.WriteString(`"}`)
	return []byte(text.String())
}

func TestALineThatIsTooLargeForTheBrokerIsShortenedAndHoldsUpNoOther(t *testing.T) {
	const limit = 64 << 10
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true, MaxPayload: limit})
	require.NoError(t, err)
	run(t, srv)
	logs := connect(t, srv.ClientURL()).Logs(broker.LogOptions{MaxAge: time.Hour, MaxBytes: 64 << 20})
	long := []byte(strings.Repeat("x", 2*limit))
	tight := []byte(`{"message":"` + strings.Repeat(`\u0000`, logbook.MaxText) + `"}`)
	loose := controls(logbook.MaxText)
	var records []logbook.Record
	for i, text := range [][]byte{[]byte("before"), long, tight, loose, []byte("after")} {
		records = append(records, logbook.Record{
			Process: logbook.Process{Version: "prices-v1", Name: "w.n-0", Node: "n"}, Text: text, Cut: 7, File: "f", Offset: int64(i),
		})
	}
	last, err := logs.Append(t.Context(), records)
	require.NoError(t, err)
	var lines []logbook.Line
	require.NoError(t, logs.Read(t.Context(), "prices-v1", 1, last+1, func(line logbook.Line) bool {
		lines = append(lines, line)
		return true
	}))
	require.Len(t, lines, len(records))
	for i, line := range lines {
		require.True(t, strings.HasPrefix(string(records[i].Text), string(line.Text)), i)
		require.EqualValues(t, len(records[i].Text)+7, int64(len(line.Text))+line.Cut)
	}
	for i, whole := range []bool{true, false, true, false, true} {
		require.Equal(t, whole, lines[i].Cut == 7, i)
		require.Greater(t, len(lines[i].Text)+limit/2, min(limit, len(records[i].Text)), "as much as there is room for")
	}
}

func TestAnyRecordOf256KiBFitsIntoAMessageOfAnOrdinaryBroker(t *testing.T) {
	b, _ := open(t)
	logs := b.Logs(broker.LogOptions{MaxAge: time.Hour, MaxBytes: 64 << 20})
	text := controls(logbook.MaxText)
	last, err := logs.Append(t.Context(), []logbook.Record{
		{Process: logbook.Process{Version: "prices-v1", Name: "w.n-0", Node: "n"}, Text: text, File: "f", Offset: 1},
	})
	require.NoError(t, err)
	read := 0
	require.NoError(t, logs.Read(t.Context(), "prices-v1", 1, last+1, func(line logbook.Line) bool {
		read++
		require.True(t, string(text) == string(line.Text))
		require.Zero(t, line.Cut)
		return true
	}))
	require.Equal(t, 1, read)
}
