package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/storetest"
)

// detail is the first detail of a kind that an error has.
func detail[D any](t *testing.T, err error, code codes.Code) D {
	t.Helper()
	require.Equal(t, code, status.Code(err), "%v", err)
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(D); ok {
			return found
		}
	}
	require.FailNow(t, "no such detail", "%v", err)
	panic("unreachable")
}

func TestAPackageIsServedUntilItIsDeleted(t *testing.T) {
	r := openRuntime(t)
	api := runtimev1.NewPackageServiceClient(r.conn)
	stored, err := r.upload(r.trusted(t), packageOf(t, "prices-v1", 3<<20))
	require.NoError(t, err)
	got, err := api.GetPackage(r.trusted(t), &runtimev1.GetPackageRequest{Version: "prices-v1"})
	require.NoError(t, err)
	require.Equal(t, stored.GetDigest(), got.GetPackage().GetDigest())
	require.Len(t, got.GetPackage().GetFiles(), 4)
	require.Equal(t, "Do", got.GetPackage().GetManifest().GetWorkflows()[0].GetRpc())

	stream, err := api.GetFile(r.trusted(t), &runtimev1.GetFileRequest{Version: "prices-v1", Path: "a-model.bin"})
	require.NoError(t, err)
	size := 0
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		size += len(piece.GetChunk())
	}
	require.Equal(t, 3<<20, size)

	list, err := api.ListPackages(r.trusted(t), &runtimev1.ListPackagesRequest{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"prices-v1": stored.GetDigest()}, list.GetDigests())
	_, err = api.DeletePackage(r.trusted(t), &runtimev1.DeletePackageRequest{Version: "prices-v1"})
	require.NoError(t, err)
	_, err = api.GetPackage(r.trusted(t), &runtimev1.GetPackageRequest{Version: "prices-v1"})
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Nil(t, r.store.Keys(t, bucket))
}

func TestARefusedUploadTellsWhy(t *testing.T) {
	r := openRuntime(t)
	_, err := r.upload(r.trusted(t), []byte("no package"))
	info := detail[*errdetails.ErrorInfo](t, err, codes.InvalidArgument)
	require.Equal(t, "ERROR_REASON_INVALID_PACKAGE", info.GetReason())
	require.Equal(t, "not gzip", info.GetMetadata()["problem"])

	_, err = r.upload(r.trusted(t), packageOf(t, "Prices", 10))
	require.NotEmpty(t, detail[*errdetails.BadRequest](t, err, codes.InvalidArgument).GetFieldViolations())
	require.Equal(t, "ERROR_REASON_INVALID_MANIFEST", detail[*errdetails.ErrorInfo](t, err, codes.InvalidArgument).GetReason())

	_, err = r.upload(t.Context(), packageOf(t, "prices-v1", 10))
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	r.store.Kill()
	_, err = r.upload(r.trusted(t), packageOf(t, "prices-v1", 10))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.NotContains(t, status.Convert(err).Message(), storetest.SecretKey)
}

func TestRemovingAVersionRemovesWhatItHasLogged(t *testing.T) {
	r := openRuntime(t)
	write := func(version, text string) {
		dir := filepath.Join(r.dir, "versions", version, "logs")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		file, err := os.OpenFile(filepath.Join(dir, "entrypoint-0.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = file.WriteString(text + "\n")
		require.NoError(t, errors.Join(err, file.Close()))
	}
	logs := runtimev1.NewLogServiceClient(r.conn)
	search := func(version string) []string {
		page, err := logs.SearchLogs(r.trusted(t), &runtimev1.SearchLogsRequest{Filter: &runtimev1.LogFilter{Version: version}, OldestFirst: true})
		require.NoError(t, err)
		var messages []string
		for _, entry := range page.GetEntries() {
			require.Equal(t, "entrypoint", entry.GetNode())
			require.Equal(t, runtimev1.LogLevel_LOG_LEVEL_INFO, entry.GetLevel())
			messages = append(messages, entry.GetMessage())
		}
		return messages
	}
	write("prices-v1", "one")
	write("prices-v2", "two")
	tail, err := logs.TailLogs(r.trusted(t), &runtimev1.TailLogsRequest{Filter: &runtimev1.LogFilter{Version: "prices-v2"}, Last: 10})
	require.NoError(t, err)
	line, err := tail.Recv()
	require.NoError(t, err)
	require.Equal(t, "two", line.GetEntry().GetMessage())
	require.Eventually(t, func() bool { return len(search("prices-v1")) == 1 }, time.Minute, 10*time.Millisecond)

	_, err = runtimev1.NewVersionServiceClient(r.conn).RemoveVersion(r.trusted(t), &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.NoError(t, err)
	require.Empty(t, search("prices-v1"))
	write("prices-v1", "three")
	write("prices-v2", "four")
	line, err = tail.Recv()
	require.NoError(t, err)
	require.Equal(t, "four", line.GetEntry().GetMessage())
	require.Empty(t, search("prices-v1"))
	require.Equal(t, []string{"two", "four"}, search("prices-v2"))

	_, err = logs.SearchLogs(r.trusted(t), &runtimev1.SearchLogsRequest{Filter: &runtimev1.LogFilter{Version: "prices-v2"}, PageToken: "x"})
	require.Equal(t, "page_token", detail[*errdetails.BadRequest](t, err, codes.InvalidArgument).GetFieldViolations()[0].GetField())
}

func TestAPageFitsIntoAnAnswerWhateverItsLinesHold(t *testing.T) {
	r := openRuntime(t)
	dir := filepath.Join(r.dir, "versions", "prices-v1", "logs")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for name, line := range map[string]string{
		"w.no-text-0":      strings.Repeat("\xff", 60<<10),
		"w.many-numbers-0": `{"message":"m","n":[1` + strings.Repeat(",1", 30<<10) + `]}`,
		"w.many-fields-0":  `{"message":"m","n":[{}` + strings.Repeat(`,{"":0}`, 8<<10) + `]}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".log"), []byte(strings.Repeat(line+"\n", 40)), 0o600))
	}
	for name, line := range map[string]string{
		"w.long-text-0":    strings.Repeat("x\xff", 500<<10),
		"w.long-numbers-0": `{"message":"m","n":[1` + strings.Repeat(",1", 900<<10) + `]}`,
		"w.long-record-0":  `{"message":"` + strings.Repeat(`\u0000`, 255<<10) + `"}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".log"), []byte(strings.Repeat(line+"\n", 10)), 0o600))
	}
	require.Eventually(t, func() bool { return r.stored(t) == 150 }, time.Minute, 10*time.Millisecond)
	search := &runtimev1.SearchLogsRequest{Filter: &runtimev1.LogFilter{Version: "prices-v1"}, PageSize: 1000}
	entries := 0
	for {
		page, err := runtimev1.NewLogServiceClient(r.conn).SearchLogs(r.trusted(t), search)
		require.NoError(t, err)
		entries += len(page.GetEntries())
		if search.PageToken = page.GetNextPageToken(); search.PageToken == "" {
			break
		}
	}
	require.Equal(t, 150, entries)
}

func TestALongRecordIsListedWholeAndFoundByWhatItTells(t *testing.T) {
	r := openRuntime(t)
	dir := filepath.Join(r.dir, "versions", "prices-v1", "logs")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	const each = 64 << 10 // bytes, of four texts
	record := map[string]string{
		"level": "error", "request_id": "01JD", "message": strings.Repeat("\x00", each), "error": strings.Repeat(`"\`, each/2),
		"where": strings.Repeat("\u2028", each/3), "stack": strings.Repeat("<\n", each/2),
	}
	line, err := json.Marshal(record)
	require.NoError(t, err)
	require.Greater(t, len(line), 768<<10, "escaped")
	content := "before\n" + string(line) + "\nafter\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.n-0.log"), []byte(content), 0o600))
	require.Eventually(t, func() bool { return r.stored(t) == 3 }, time.Minute, 10*time.Millisecond)

	logs := runtimev1.NewLogServiceClient(r.conn)
	for name, filter := range map[string]*runtimev1.LogFilter{
		"by level":   {MinLevel: runtimev1.LogLevel_LOG_LEVEL_ERROR},
		"by request": {RequestId: "01JD"},
		"by text":    {Text: "<\n<"},
	} {
		t.Run(name, func(t *testing.T) {
			filter.Version = "prices-v1"
			page, err := logs.SearchLogs(r.trusted(t), &runtimev1.SearchLogsRequest{Filter: filter})
			require.NoError(t, err)
			require.Len(t, page.GetEntries(), 1)
			entry := page.GetEntries()[0]
			require.Equal(t, runtimev1.LogLevel_LOG_LEVEL_ERROR, entry.GetLevel())
			require.True(t, record["message"] == entry.GetMessage())
			fields := entry.GetFields().AsMap()
			for _, name := range []string{"error", "where", "stack"} {
				require.True(t, record[name] == fields[name], name)
			}
		})
	}
	tail, err := logs.TailLogs(r.trusted(t), &runtimev1.TailLogsRequest{Filter: &runtimev1.LogFilter{Version: "prices-v1"}, Last: 3})
	require.NoError(t, err)
	for _, want := range []string{"before", record["message"], "after"} {
		got, err := tail.Recv()
		require.NoError(t, err)
		require.True(t, want == got.GetEntry().GetMessage())
	}
}

func TestTheNodesOfAVersionAreServed(t *testing.T) {
	r := openRuntime(t)
	dir := filepath.Join(r.dir, "versions", "prices-v1")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "state"), 0o700))
	nodes := runtimev1.NewNodeServiceClient(r.conn)
	watch, err := nodes.WatchNodes(r.trusted(t), &runtimev1.WatchNodesRequest{Version: "prices-v1"})
	require.NoError(t, err)
	first, err := watch.Recv()
	require.NoError(t, err)
	require.Empty(t, first.GetNodes())

	state := `{"state":"FAILED","reason":"ended with code 1","last_log_line":"{\"message\":\"cannot start\",\"error\":\"full\"}","restarts":2,"since":"2026-01-02T03:04:05Z"}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "state", "w.n-0.json"), []byte(state), 0o600))
	part := filepath.Join(dir, "nodes.json.part")
	require.NoError(t, os.WriteFile(part, []byte(`{"processes":[{"process":"entrypoint-0","node":"entrypoint"},{"process":"w.n-0","workflow":"W","node":"N"}]}`), 0o600))
	require.NoError(t, os.Rename(part, filepath.Join(dir, "nodes.json")))
	changed, err := watch.Recv()
	require.NoError(t, err)
	require.Len(t, changed.GetNodes(), 2)
	require.Equal(t, runtimev1.NodeState_NODE_STATE_STOPPED, changed.GetNodes()[0].GetState())
	failed := changed.GetNodes()[1]
	require.Equal(t, runtimev1.NodeState_NODE_STATE_FAILED, failed.GetState())
	require.Equal(t, "ended with code 1", failed.GetReason())
	require.Equal(t, "cannot start: full", failed.GetLastLogLine())
	require.EqualValues(t, 2, failed.GetReplicas()[0].GetRestarts())
	require.Equal(t, int64(1767323045), failed.GetReplicas()[0].GetStateTime().GetSeconds())
	_, err = nodes.ListNodes(r.trusted(t), &runtimev1.ListNodesRequest{Version: "../x"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestWhatProcessesSayOfThemselvesIsServedUntilTheirVersionIsRemoved(t *testing.T) {
	r := openRuntime(t)
	dir := filepath.Join(r.dir, "versions", "prices-v1")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nodes.json"), []byte(`{"processes":[{"process":"entrypoint-0","node":"entrypoint"},
		{"process":"w.n-0","workflow":"W","node":"N"}]}`), 0o600))
	say := func(subject, text string) {
		require.NoError(t, r.js.Conn().Publish("kre.prices-v1._status."+subject, []byte(text)))
	}
	list := func() (entrypoint, node *runtimev1.NodeStatus) {
		answer, err := runtimev1.NewNodeServiceClient(r.conn).ListNodes(r.trusted(t), &runtimev1.ListNodesRequest{Version: "prices-v1"})
		require.NoError(t, err)
		require.Len(t, answer.GetNodes(), 2)
		return answer.GetNodes()[0], answer.GetNodes()[1]
	}
	var entrypoint, node *runtimev1.NodeStatus
	require.Eventually(t, func() bool {
		say("entrypoint.entrypoint", `{"workflow":"entrypoint","node":"entrypoint","replica_id":"a",
			"workflows":[{"workflow":"w","waiting":12,"oldest_seconds":0.8,"refused":310,"unanswered":5}]}`)
		say("w.n", `{"workflow":"w","node":"N","replica_id":"b","waiting":7,"oldest_seconds":3.4,"expired":41}`)
		entrypoint, node = list()
		return entrypoint.GetWaiting() > 0 && node.GetWaiting() > 0
	}, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 7, node.GetWaiting())
	require.Equal(t, 3400*time.Millisecond, node.GetOldest().AsDuration())
	require.EqualValues(t, 41, node.GetExpired())
	require.Empty(t, node.GetWorkflows())
	require.EqualValues(t, 12, entrypoint.GetWaiting())
	require.Equal(t, 800*time.Millisecond, entrypoint.GetOldest().AsDuration())
	require.EqualValues(t, 310, entrypoint.GetRefused())
	require.Zero(t, entrypoint.GetExpired())
	require.Len(t, entrypoint.GetWorkflows(), 1)
	require.True(t, proto.Equal(&runtimev1.WorkflowLoad{
		Workflow: "W", Waiting: 12, Oldest: durationpb.New(800 * time.Millisecond), Expired: 41, Refused: 310, Unanswered: 5,
	}, entrypoint.GetWorkflows()[0]), entrypoint.String())

	say("w.n", `{"workflow":"w","node":"N","replica_id":"b","expired":42}`) // the last that is said
	require.Eventually(t, func() bool { _, node = list(); return node.GetExpired() == 42 }, time.Minute, 10*time.Millisecond)
	_, err := runtimev1.NewVersionServiceClient(r.conn).RemoveVersion(r.trusted(t), &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.NoError(t, err)
	entrypoint, node = list()
	require.Zero(t, entrypoint.GetRefused())
	require.Nil(t, entrypoint.GetOldest())
	require.Zero(t, node.GetExpired())
}
