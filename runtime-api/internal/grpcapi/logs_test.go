package grpcapi_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/kit/nesting"
	"github.com/konstellation-io/kre/kit/rpc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/grpcapi"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

type noSource struct{}

func (noSource) Release(context.Context, string) error { return nil }

// serveLogs serves what a node of prices-v1 has printed, from a real broker.
func serveLogs(t *testing.T, lines []string) runtimev1.LogServiceClient {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(time.Minute))
	b, err := broker.Connect(srv.ClientURL(), zap.NewNop(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	logs := b.Logs(broker.LogOptions{})
	after := uint64(0)
	for i, line := range lines {
		after, err = logs.Append(t.Context(), []logbook.Record{{
			Process: logbook.Process{Version: "prices-v1", Name: "w.n-0", Workflow: "W", Node: "N"},
			Text:    []byte(line), File: "f", Offset: int64(i), After: after,
		}})
		require.NoError(t, err)
	}
	grpcServer := rpc.NewServer(zap.NewNop(), rpc.Options{})
	grpcapi.RegisterLogs(grpcServer, logbook.NewService(logs, noSource{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, grpcServer.Stop(context.Background()))
		require.NoError(t, <-served)
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return runtimev1.NewLogServiceClient(conn)
}

func objects(depth int) string {
	return `{"message":"deep","x":` + strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) + "}"
}

func arrays(depth int) string {
	return `{"message":"deep","x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
}

func TestNoLineHidesOthers(t *testing.T) {
	hostile := map[string]string{
		"a number that is none for others":  `{"message":"m","n":1e999}`,
		"a number without end":              `{"message":"m","n":` + strings.Repeat("9", 100_000) + `}`,
		"a name that is long":               `{"message":"m","` + strings.Repeat("k", 200_000) + `":1}`,
		"many names":                        `{"message":"m"` + strings.Repeat(`,"a":1`, 10_000) + `}`,
		"what is no UTF-8":                  "{\"message\":\"m\xff\",\"\xfe\":\"\xc3\x28\",\"n\":{\"\xed\xa0\x80\":[\"\xff\"]}}",
		"half a character":                  `{"message":"\ud800","\udfff":"\ud800"}`,
		"an id and a level of another kind": `{"message":"m","request_id":{},"level":[],"time":{}}`,
		"zeros":                             "{\"message\":\"m\\u0000\",\"\\u0000\":\"\\u0000\"}\x00",
		"text that is no UTF-8":             "\xff\xfe\x9b31m",
		"brackets":                          strings.Repeat("[", 200_000),
		"braces":                            strings.Repeat(`{"message":`, 20_000),
	}
	for _, depth := range []int{nesting.Limit/3 - 2, nesting.Limit/3 - 1, nesting.Limit / 3, nesting.Limit, 3_000, 5_000, 9_990, 100_000} {
		hostile[fmt.Sprint("objects ", depth)] = objects(depth)
		hostile[fmt.Sprint("arrays ", depth)] = arrays(depth)
	}
	lines := []string{"before"}
	for _, line := range hostile {
		lines = append(lines, line)
	}
	lines = append(lines, "after")
	client := serveLogs(t, lines)

	// Page by page and all at once, as other languages read it and as the REST API writes it.
	request := &runtimev1.SearchLogsRequest{Filter: &runtimev1.LogFilter{Version: "prices-v1"}, PageSize: 1000, OldestFirst: true}
	var got []*runtimev1.LogEntry
	for {
		page, err := client.SearchLogs(t.Context(), request)
		require.NoError(t, err)
		content, err := proto.Marshal(page)
		require.NoError(t, err)
		read := proto.UnmarshalOptions{RecursionLimit: nesting.Limit}
		require.NoError(t, read.Unmarshal(content, new(runtimev1.SearchLogsResponse)), "whoever reads no deeper reads it")
		content, err = protojson.Marshal(page)
		require.NoError(t, err)
		require.NoError(t, protojson.Unmarshal(content, new(runtimev1.SearchLogsResponse)))
		got = append(got, page.GetEntries()...)
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
	}
	require.Len(t, got, len(lines))
	require.Equal(t, "before", got[0].GetMessage())
	require.Equal(t, "after", got[len(got)-1].GetMessage())

	tail, err := client.TailLogs(t.Context(), &runtimev1.TailLogsRequest{Filter: request.GetFilter(), Last: 1000})
	require.NoError(t, err)
	for answer := new(runtimev1.TailLogsResponse); answer.GetEntry().GetMessage() != "after"; {
		answer, err = tail.Recv()
		require.NoError(t, err)
	}
}

func TestALineThatIsTooDeepIsText(t *testing.T) {
	const deepest = nesting.Limit/3 - 2 // within the record and its field
	client := serveLogs(t, []string{objects(deepest), objects(deepest + 1)})
	page, err := client.SearchLogs(t.Context(), &runtimev1.SearchLogsRequest{
		Filter: &runtimev1.LogFilter{Version: "prices-v1"}, OldestFirst: true,
	})
	require.NoError(t, err)
	require.Equal(t, "deep", page.GetEntries()[0].GetMessage())
	require.Contains(t, page.GetEntries()[0].GetFields().GetFields(), "x")
	require.Equal(t, objects(deepest+1), page.GetEntries()[1].GetMessage())
	require.Empty(t, page.GetEntries()[1].GetFields())
}
