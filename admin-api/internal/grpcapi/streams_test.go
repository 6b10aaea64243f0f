package grpcapi_test

import (
	"bufio"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// lines reads a stream over REST: a function that gives the next line.
func lines[M proto.Message](t *testing.T, f *fixture, path string, message func() M) func() (M, error) {
	t.Helper()
	response := f.send(t, "GET", path, "", token)
	t.Cleanup(func() { require.NoError(t, response.Body.Close()) })
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "application/x-ndjson", response.Header.Get("Content-Type"))
	require.NotEmpty(t, response.Header.Get("X-Request-Id"))
	reader := bufio.NewReader(response.Body)
	return func() (M, error) {
		next := message()
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return next, err
		}
		return next, protojson.Unmarshal(line, next)
	}
}

// watches are the ways to watch prod: each gives the next event.
func (f *fixture) watches(t *testing.T, after int64) map[string]func() (*adminv1.WatchRuntimeResponse, error) {
	t.Helper()
	stream, err := f.runtimes.WatchRuntime(t.Context(), &adminv1.WatchRuntimeRequest{Name: "runtimes/prod", AfterRevision: after})
	require.NoError(t, err)
	return map[string]func() (*adminv1.WatchRuntimeResponse, error){
		"over gRPC": stream.Recv,
		"over REST": lines(t, f, fmt.Sprintf("/v1/runtimes/prod:watch?afterRevision=%d", after),
			func() *adminv1.WatchRuntimeResponse { return new(adminv1.WatchRuntimeResponse) }),
	}
}

func TestAWatchBeginsWithASnapshotTellsWhatChangesAndEndsWithTheRuntime(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2")
	watches := f.watches(t, 0)
	revisions := make(map[string]int64)
	for name, next := range watches {
		first, err := next()
		require.NoError(t, err)
		require.Equal(t, "runtimes/prod", first.GetSnapshot().GetRuntime().GetName(), name)
		require.Len(t, first.GetSnapshot().GetVersions(), 2)
		revisions[name] = first.GetRevision()
	}
	f.start(t, v1)
	_, err := f.versions.DeleteVersion(t.Context(), &adminv1.DeleteVersionRequest{Name: v2})
	require.NoError(t, err)
	for name, next := range watches {
		var started, deleted bool
		for !started || !deleted {
			event, err := next()
			require.NoError(t, err, name)
			require.GreaterOrEqual(t, event.GetRevision(), revisions[name])
			revisions[name] = event.GetRevision()
			require.Nil(t, event.GetSnapshot())
			started = started || event.GetVersion().GetName() == v1 && event.GetVersion().GetState() == adminv1.Version_STARTED
			deleted = deleted || event.GetDeletedVersion() == v2
		}
	}
	_, err = f.runtimes.DeleteRuntime(t.Context(), &adminv1.DeleteRuntimeRequest{Name: "runtimes/prod", Confirm: "prod"})
	require.NoError(t, err)
	for name, next := range watches {
		var last *adminv1.WatchRuntimeResponse
		for {
			event, err := next()
			if err != nil {
				require.ErrorIs(t, err, io.EOF, name)
				break
			}
			last = event
		}
		require.True(t, last.GetDeleted(), name)
	}
}

func TestAWatchResumesBehindARevision(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2", "v3")
	seen, err := f.runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/prod"})
	require.NoError(t, err)
	f.start(t, v1)
	_, err = f.versions.DeleteVersion(t.Context(), &adminv1.DeleteVersionRequest{Name: v2})
	require.NoError(t, err)
	eventually(t, func() bool {
		_, err := f.versions.GetVersion(t.Context(), &adminv1.GetVersionRequest{Name: v2})
		return err != nil
	})
	for name, next := range f.watches(t, seen.GetRevision()) {
		var started, deleted bool
		for !started || !deleted {
			event, err := next()
			require.NoError(t, err)
			require.Nil(t, event.GetSnapshot(), "%s: it need not begin anew", name)
			require.NotEqual(t, "runtimes/prod/versions/v3", event.GetVersion().GetName(), "which has not changed")
			started = started || event.GetVersion().GetName() == v1
			deleted = deleted || event.GetDeletedVersion() == v2
		}
	}
}

func TestAWatchFromARevisionThatIsTooOldOrNeverWasBeginsAnew(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	ledger, err := f.store.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	was := ledger.Revision
	// As after many versions have gone.
	ledger.Revision, ledger.Forgotten = was+200, was+100
	require.NoError(t, f.store.ReplaceLedger(t.Context(), ledger, was))
	for _, after := range []int64{was, was + 99, was + 1_000_000} {
		for name, next := range f.watches(t, after) {
			first, err := next()
			require.NoError(t, err)
			require.Len(t, first.GetSnapshot().GetVersions(), 1, "%s, after %d", name, after)
		}
	}
	for name, next := range f.watches(t, was+100) {
		first, err := next()
		require.NoError(t, err)
		require.Nil(t, first.GetSnapshot(), "%s: nothing that it has not seen is forgotten", name)
	}
}

func TestATailTellsTheLastLinesOldestFirst(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	f.world.Log(
		engine.LogEntry{Time: at, Level: engine.LogError, Workflow: "w", Node: "model", Replica: 1, Message: "three", RequestID: "01X", Fields: map[string]any{"n": 3.0}},
		engine.LogEntry{Message: "two", Node: engine.Entrypoint}, engine.LogEntry{Message: "one"},
	)
	stream, err := f.versions.TailLogs(t.Context(), &adminv1.TailLogsRequest{Parent: v1, Last: 2})
	require.NoError(t, err)
	for name, next := range map[string]func() (*adminv1.TailLogsResponse, error){
		"over gRPC": stream.Recv,
		"over REST": lines(t, f, "/v1/"+v1+"/logs:tail?last=2", func() *adminv1.TailLogsResponse { return new(adminv1.TailLogsResponse) }),
	} {
		first, err := next()
		require.NoError(t, err)
		require.Equal(t, "two", first.GetEntry().GetMessage(), name)
		require.Equal(t, adminv1.LogEntry_INFO, first.GetEntry().GetLevel(), "a line without a level")
		second, err := next()
		require.NoError(t, err)
		entry := second.GetEntry()
		require.Equal(t, "three", entry.GetMessage(), name)
		require.Equal(t, adminv1.LogEntry_ERROR, entry.GetLevel())
		require.Equal(t, at, entry.GetTime().AsTime())
		require.Equal(t, []any{"w", "model", int32(1), "01X"}, []any{entry.GetWorkflow(), entry.GetNode(), entry.GetReplica(), entry.GetRequestId()})
		require.Equal(t, map[string]any{"n": 3.0}, entry.GetFields().AsMap())
	}
}
