package processdir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
	"github.com/konstellation-io/kre/runtime-api/internal/processdir"
)

const patience = time.Minute

// fixture is a runtime's directory, as k8s-manager keeps it, and a real broker.
type fixture struct {
	root string
	dir  *processdir.Dir
	logs *broker.Logs
	b    *broker.Broker
	url  string
}

func open(t *testing.T) *fixture {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(patience))
	b, err := broker.Connect(srv.ClientURL(), zap.NewNop(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	root := t.TempDir()
	return &fixture{root: root, dir: processdir.Open(root), b: b, url: srv.ClientURL(), logs: b.Logs(broker.LogOptions{MaxAge: time.Hour, MaxBytes: 256 << 20})}
}

type planned struct {
	Process  string `json:"process"`
	Workflow string `json:"workflow"`
	Node     string `json:"node"`
	Replica  int    `json:"replica"`
}

// plan writes which processes a version has, and makes its folders.
func (f *fixture) plan(t *testing.T, version string, processes ...planned) {
	t.Helper()
	for _, folder := range []string{"state", "logs"} {
		require.NoError(t, os.MkdirAll(filepath.Join(f.root, "versions", version, folder), 0o700))
	}
	content, err := json.Marshal(map[string]any{"processes": processes})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(f.root, "versions", version, "nodes.json"), content, 0o600))
}

func (f *fixture) logFile(version, process string) string {
	return filepath.Join(f.root, "versions", version, "logs", process+".log")
}

// print appends to a log, as a process does.
func (f *fixture) print(t *testing.T, version, process, text string) {
	t.Helper()
	file, err := os.OpenFile(f.logFile(version, process), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// follow runs a follower until it is ended.
func (f *fixture) follow(t *testing.T, keeper logbook.Keeper) (follower *processdir.Follower, end func()) {
	t.Helper()
	follower = processdir.NewFollower(f.dir, keeper, zap.NewNop())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		follower.Run(ctx)
	}()
	end = func() {
		cancel()
		<-ended
	}
	t.Cleanup(end)
	return follower, end
}

// lines are those of a version that are stored, by process, in their order.
func (f *fixture) lines(t *testing.T, version string) map[string][]string {
	t.Helper()
	lines := make(map[string][]string)
	for _, line := range f.stored(t, version) {
		lines[line.Name] = append(lines[line.Name], string(line.Text))
	}
	return lines
}

func (f *fixture) stored(t *testing.T, version string) []logbook.Line {
	t.Helper()
	first, next, err := f.logs.Span(t.Context(), version, time.Time{}, time.Time{})
	require.NoError(t, err)
	var lines []logbook.Line
	require.NoError(t, f.logs.Read(t.Context(), version, first, next, func(line logbook.Line) bool {
		lines = append(lines, line)
		return true
	}))
	return lines
}

// await waits until a version has a number of lines.
func (f *fixture) await(t *testing.T, version string, count int) []logbook.Line {
	t.Helper()
	var lines []logbook.Line
	require.Eventually(t, func() bool {
		lines = f.stored(t, version)
		return len(lines) >= count
	}, patience, 10*time.Millisecond, "want %d lines", count)
	require.Len(t, lines, count)
	return lines
}

func numbered(process string, from, to int) []string {
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("%s says %d", process, i))
	}
	return lines
}

const tick = 10 * time.Millisecond

// drop drops all lines, as their age does.
func (f *fixture) drop(t *testing.T) {
	t.Helper()
	conn, err := nats.Connect(f.url)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "logs")
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
}

// requireNumbered tells of the first line only that is not as it should be.
func requireNumbered(t *testing.T, process string, count int, got []string) {
	t.Helper()
	for i, line := range numbered(process, 0, count) {
		require.Greater(t, len(got), i, "lines of %s", process)
		require.Equal(t, line, got[i])
	}
	require.Len(t, got, count)
}
