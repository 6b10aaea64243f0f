package logbook_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const patience = time.Minute

// book is a service over a real broker.
type book struct {
	*logbook.Service
	logs  *broker.Logs
	after map[string]uint64
	at    int64
}

type noSource struct{}

func (noSource) Release(context.Context, string) error { return nil }

func open(t *testing.T, opts broker.LogOptions) *book {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(patience))
	b, err := broker.Connect(srv.ClientURL(), zap.NewNop(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	logs := b.Logs(opts)
	return &book{Service: logbook.NewService(logs, noSource{}), logs: logs, after: make(map[string]uint64)}
}

// add stores lines of a process.
func (b *book) add(t *testing.T, process logbook.Process, lines ...string) {
	t.Helper()
	for batch := range slices.Chunk(lines, 1000) {
		var records []logbook.Record
		for _, line := range batch {
			b.at += int64(len(line)) + 1
			records = append(records, logbook.Record{
				Process: process, Text: []byte(line), Time: logbook.TimeOf([]byte(line)), File: "f", Offset: b.at,
				After: b.after[process.Version+process.Name],
			})
		}
		last, err := b.logs.Append(t.Context(), records)
		require.NoError(t, err)
		b.after[process.Version+process.Name] = last
	}
}

func etl(version string) logbook.Process {
	return logbook.Process{Version: version, Name: "estimate.etl-0", Workflow: "Estimate", Node: "Etl"}
}

func model(version string) logbook.Process {
	return logbook.Process{Version: version, Name: "estimate.model-1", Workflow: "Estimate", Node: "Model", Replica: 1}
}

func entrypoint(version string) logbook.Process {
	return logbook.Process{Version: version, Name: "entrypoint-0", Node: "entrypoint"}
}

// messages reads all pages of a search.
func (b *book) messages(t *testing.T, query logbook.Query) []string {
	t.Helper()
	var messages []string
	for {
		page, err := b.Search(t.Context(), query)
		require.NoError(t, err)
		for _, entry := range page.Entries {
			messages = append(messages, entry.Message)
		}
		if query.Token = page.NextToken; query.Token == "" {
			return messages
		}
	}
}

func numbered(from, to int) []string {
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	return lines
}

func reversed(lines []string) []string {
	lines = slices.Clone(lines)
	slices.Reverse(lines)
	return lines
}

func at(minute int) string {
	return time.Now().Add(time.Duration(minute-60) * time.Minute).UTC().Format(time.RFC3339Nano)
}

func TestASearchAnswersWithWhatAllConditionsHoldFor(t *testing.T) {
	b := open(t, broker.LogOptions{})
	began := time.Now()
	b.add(t, entrypoint("prices-v1"), `{"time":"`+at(1)+`","level":"info","message":"serving","address":":9000"}`)
	b.add(t, etl("prices-v1"),
		`{"time":"`+at(2)+`","level":"warning","message":"slow","request_id":"R1","seconds":3.5}`,
		`{"time":"`+at(3)+`","level":"error","message":"Broken","request_id":"R2","error":"no HOUSE"}`,
		`plain text about a house`)
	b.add(t, model("prices-v1"), `{"time":"`+at(4)+`","level":"debug","message":"detail","request_id":"R1"}`)
	b.add(t, etl("prices-v10"), `of another version`)

	for name, c := range map[string]struct {
		filter logbook.Filter
		want   []string
	}{
		"all":               {logbook.Filter{}, []string{"serving", "slow", "Broken", "plain text about a house", "detail"}},
		"level":             {logbook.Filter{MinLevel: logbook.Warn}, []string{"slow", "Broken"}},
		"info and graver":   {logbook.Filter{MinLevel: logbook.Info}, []string{"serving", "slow", "Broken", "plain text about a house"}},
		"node":              {logbook.Filter{Nodes: []string{"Model", "entrypoint"}}, []string{"serving", "detail"}},
		"workflow":          {logbook.Filter{Workflow: "Estimate", MinLevel: logbook.Error}, []string{"Broken"}},
		"text in a message": {logbook.Filter{Text: "BROK"}, []string{"Broken"}},
		"text anywhere":     {logbook.Filter{Text: "House"}, []string{"Broken", "plain text about a house"}},
		"text in a field":   {logbook.Filter{Text: ":9000"}, []string{"serving"}},
		"request":           {logbook.Filter{RequestID: "R1"}, []string{"slow", "detail"}},
		"request and node":  {logbook.Filter{RequestID: "R1", Nodes: []string{"Etl"}}, []string{"slow"}},
		"from a time": {logbook.Filter{Start: began.Add(-57*time.Minute - 30*time.Second)},
			[]string{"Broken", "plain text about a house", "detail"}},
		"until a time": {logbook.Filter{End: began.Add(-56*time.Minute - 30*time.Second)}, []string{"serving", "slow", "Broken"}},
		"between": {logbook.Filter{Start: began.Add(-58*time.Minute - 30*time.Second), End: began.Add(-57*time.Minute - 30*time.Second)},
			[]string{"slow"}},
		"nothing": {logbook.Filter{Text: "nobody said this"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.filter.Version = "prices-v1"
			require.Equal(t, c.want, b.messages(t, logbook.Query{Filter: c.filter, OldestFirst: true}))
			require.Equal(t, reversed(c.want), b.messages(t, logbook.Query{Filter: c.filter}))
		})
	}
}

func TestALineIsTakenApart(t *testing.T) {
	b := open(t, broker.LogOptions{})
	b.add(t, model("prices-v1"), `{"time":"`+at(1)+`","level":"error","message":"no","workflow":"estimate","node":"model","request_id":"R1","error":"full","n":{"a":[1,"x"]}}`)
	page, err := b.Search(t.Context(), logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}})
	require.NoError(t, err)
	require.Len(t, page.Entries, 1)
	entry := page.Entries[0]
	require.Equal(t, logbook.Error, entry.Level)
	require.Equal(t, "Estimate", entry.Workflow)
	require.Equal(t, "Model", entry.Node)
	require.Equal(t, 1, entry.Replica)
	require.Equal(t, "no", entry.Message)
	require.Equal(t, "R1", entry.RequestID)
	require.Equal(t, map[string]any{"error": "full", "n": map[string]any{"a": []any{1.0, "x"}}}, entry.Fields)
}

func TestPagesFollowEachOtherThoughLinesAreAdded(t *testing.T) {
	b := open(t, broker.LogOptions{})
	const count = 2_500
	lines := numbered(0, count)
	for some := range slices.Chunk(lines, 50) { // among those of others
		b.add(t, etl("prices-v2"), "of another version")
		b.add(t, model("prices-v1"), some...)
	}
	for _, size := range []int{37, 100, 999, 5_000} {
		for _, oldest := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, oldest first %t", size, oldest), func(t *testing.T) {
				query := logbook.Query{Filter: logbook.Filter{Version: "prices-v1", Workflow: "Estimate", Nodes: []string{"Model"}}, Size: size, OldestFirst: oldest}
				page, err := b.Search(t.Context(), query)
				require.NoError(t, err)
				require.Len(t, page.Entries, min(size, logbook.MaxPage))
				got := []string{}
				for _, entry := range page.Entries {
					got = append(got, entry.Message)
				}
				b.add(t, etl("prices-v1"), "added meanwhile")
				query.Token = page.NextToken
				require.NotEmpty(t, query.Token)
				got = append(got, b.messages(t, query)...)
				if !oldest {
					slices.Reverse(got)
				}
				require.Equal(t, lines, got)
			})
		}
	}
}

func TestAPageHoldsNoMoreThanAnAnswerMay(t *testing.T) {
	b := open(t, broker.LogOptions{})
	long := strings.Repeat("x", 60<<10)
	for range 2 {
		b.add(t, model("prices-v1"), slices.Repeat([]string{long}, 60)...)
	}
	page, err := b.Search(t.Context(), logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}, Size: 1000})
	require.NoError(t, err)
	require.Less(t, len(page.Entries), 60)
	require.NotEmpty(t, page.Entries)
	require.Len(t, b.messages(t, logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}, Size: 1000}), 120)
	require.Len(t, b.messages(t, logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}, Size: 1000, OldestFirst: true}), 120)
}

func TestATokenOfAnotherSearchIsRefused(t *testing.T) {
	b := open(t, broker.LogOptions{})
	b.add(t, model("prices-v1"), numbered(0, 10)...)
	query := logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}, Size: 3}
	page, err := b.Search(t.Context(), query)
	require.NoError(t, err)
	for name, wrong := range map[string]logbook.Query{
		"another version": {Filter: logbook.Filter{Version: "prices-v2"}, Token: page.NextToken},
		"another text":    {Filter: logbook.Filter{Version: "prices-v1", Text: "x"}, Token: page.NextToken},
		"another order":   {Filter: logbook.Filter{Version: "prices-v1"}, Token: page.NextToken, OldestFirst: true},
		"made up":         {Filter: logbook.Filter{Version: "prices-v1"}, Token: "made up"},
		"no version":      {},
		"no name":         {Filter: logbook.Filter{Version: "prices.>"}},
		"negative size":   {Filter: logbook.Filter{Version: "prices-v1"}, Size: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Search(t.Context(), wrong)
			var told *fault.Error
			require.ErrorAs(t, err, &told)
			require.Equal(t, fault.Invalid, told.Kind)
			require.NotEmpty(t, told.Fields)
		})
	}
}

func TestATailBeginsWithTheLastLinesAndGoesOn(t *testing.T) {
	b := open(t, broker.LogOptions{})
	b.add(t, model("prices-v1"), numbered(0, 50)...)
	b.add(t, etl("prices-v1"), "of another node")
	lines := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		filter := logbook.Filter{Version: "prices-v1", Nodes: []string{"Model"}}
		ended <- b.Tail(ctx, filter, 3, func(entry logbook.Entry) error { lines <- entry.Message; return nil })
	}()
	for _, want := range numbered(47, 50) {
		require.Equal(t, want, <-lines)
	}
	b.add(t, etl("prices-v1"), "of another node")
	b.add(t, model("prices-v2"), "of another version")
	b.add(t, model("prices-v1"), numbered(50, 60)...)
	for _, want := range numbered(50, 60) {
		require.Equal(t, want, <-lines)
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Empty(t, lines)
}

func TestLinesAreDroppedByAge(t *testing.T) {
	b := open(t, broker.LogOptions{MaxAge: time.Second})
	b.add(t, model("prices-v1"), "old")
	require.Eventually(t, func() bool {
		return len(b.messages(t, logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}})) == 0
	}, patience, 50*time.Millisecond)
}

func TestTheOldestLinesAreDroppedBySize(t *testing.T) {
	b := open(t, broker.LogOptions{MaxBytes: 1 << 20})
	var lines []string
	for _, line := range numbered(0, 3_000) {
		lines = append(lines, line+strings.Repeat(" ", 990)+".")
	}
	b.add(t, model("prices-v1"), lines...)
	got := b.messages(t, logbook.Query{Filter: logbook.Filter{Version: "prices-v1"}, OldestFirst: true})
	require.Less(t, len(got), 1_100)
	require.Greater(t, len(got), 500)
	require.Equal(t, lines[len(lines)-len(got):], got, "the newest")
}
