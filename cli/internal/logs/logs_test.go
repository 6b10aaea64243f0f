package logs

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote/remotetest"
	"github.com/konstellation-io/kre/cli/internal/terminal/terminaltest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

var began = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// said is a line that a node wrote so many seconds after the beginning.
func said(second int, node, message string) *adminv1.LogEntry {
	return &adminv1.LogEntry{
		Time: timestamppb.New(began.Add(time.Duration(second) * time.Second)), Level: adminv1.LogEntry_INFO, Node: node, Message: message,
	}
}

// script is a version whose log is what the test says: each stream has its lines, and then breaks.
type script struct {
	adminv1.UnimplementedVersionServiceServer
	mu       sync.Mutex
	streams  [][]*adminv1.LogEntry
	asked    []int32
	searches []*adminv1.SearchLogsRequest
}

func (s *script) GetVersion(context.Context, *adminv1.GetVersionRequest) (*adminv1.Version, error) {
	return &adminv1.Version{}, nil
}

func (s *script) TailLogs(request *adminv1.TailLogsRequest, stream adminv1.VersionService_TailLogsServer) error {
	s.mu.Lock()
	s.asked = append(s.asked, request.GetLast())
	var lines []*adminv1.LogEntry
	more := len(s.streams) > 0
	if more {
		lines, s.streams = s.streams[0], s.streams[1:]
	}
	s.mu.Unlock()
	for _, line := range lines {
		if err := stream.Send(&adminv1.TailLogsResponse{Entry: line}); err != nil {
			return err
		}
	}
	if more {
		return status.Error(codes.Unavailable, "broken")
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// SearchLogs answers with lines 0, 1, … in pages, the first being the newest.
func (s *script) SearchLogs(_ context.Context, request *adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.searches = append(s.searches, request)
	first := 0
	if token := request.GetPageToken(); token != "" {
		if _, err := fmt.Sscan(token, &first); err != nil {
			return nil, err
		}
	}
	answer := &adminv1.SearchLogsResponse{}
	for i := first; i < min(first+3, 5); i++ {
		answer.Entries = append(answer.Entries, said(10-i, "greet", fmt.Sprint("line ", i)))
	}
	if first+3 < 5 {
		answer.NextPageToken = fmt.Sprint(first + 3)
	}
	return answer, nil
}

func serve(t *testing.T, s *script) {
	t.Helper()
	address, _ := remotetest.Serve(t, "", adminv1.UnimplementedRuntimeServiceServer{}, s)
	remotetest.Open(t, address)
}

// written is what a command prints while a test reads it.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func TestATailThatBreaksIsTakenUpWithoutRepeatingOrLosingALine(t *testing.T) {
	s := &script{streams: [][]*adminv1.LogEntry{
		{said(100, "greet", "a"), said(101, "greet", "twice"), said(101, "greet", "twice"), said(102, "other", "b")},
		{
			said(90, "greet", "before the beginning"), said(100, "greet", "a"), said(101, "greet", "twice"), said(101, "greet", "twice"),
			said(102, "greet", "late"), said(102, "other", "b"), said(103, "greet", "c"),
		},
		{said(102, "greet", "late"), said(103, "greet", "c"), said(103, "greet", "c"), said(104, "greet", "the end")},
	}}
	serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs written
	ended := make(chan error, 1)
	command := Command{Version: "v1", Follow: true, Lines: 3, Level: "debug", Format: output.Format{Output: "json"}}
	go func() { ended <- command.Run(ctx, &console.Console{In: strings.NewReader(""), Out: &out, Err: &errs}) }()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "the end") }, time.Minute, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-ended, "Ctrl-C is its end")
	var messages []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, `"message":"`)
		message, _, _ := strings.Cut(rest, `"`)
		messages = append(messages, message)
	}
	require.Equal(t, []string{"a", "twice", "twice", "b", "late", "c", "c", "the end"}, messages)
	require.Equal(t, []int32{3, maxTail}, s.asked[:2])
	require.Contains(t, errs.String(), "still waiting")
}

func TestLinesAreReadPageByPageAndPrintedTheOldestFirst(t *testing.T) {
	s := &script{}
	serve(t, s)
	var out bytes.Buffer
	command := Command{Version: "v1", Lines: 4, Level: "warn", Node: []string{"greet"}, Text: "x", Since: "2026-01-31T12:00:00Z"}
	require.NoError(t, command.Run(t.Context(), &console.Console{Out: &out, Err: &out}))
	var want strings.Builder
	for i := 3; i >= 0; i-- {
		fmt.Fprintf(&want, "%s  greet  INFO line %d\n", began.Add(time.Duration(10-i)*time.Second).Local().Format(clock), i)
	}
	require.Equal(t, want.String(), out.String())
	require.Len(t, s.searches, 2)
	asked := s.searches[0]
	require.Equal(t, "runtimes/prices/versions/v1", asked.GetParent())
	require.Equal(t, adminv1.LogEntry_WARN, asked.GetMinLevel())
	require.Equal(t, []string{"greet"}, asked.GetNodes())
	require.Equal(t, "x", asked.GetText())
	require.Equal(t, began, asked.GetStartTime().AsTime())
}

func TestAnEntryLooksLikeTheLineThatKreRunShows(t *testing.T) {
	fields, err := structpb.NewStruct(map[string]any{"error": "no such carat", "carat": 7.0, "stack": "one\ntwo"})
	require.NoError(t, err)
	entry := &adminv1.LogEntry{
		Level: adminv1.LogEntry_ERROR, Node: "estimate", Replica: 2, Message: "cannot estimate", RequestId: "01M7YSP8E0E7NDRX15D19GR52Y", Fields: fields,
	}
	require.Equal(t, []string{"ERROR GR52Y cannot estimate: no such carat carat=7", "  one", "  two"},
		strings.Split(strings.Replace(strings.Join(Lines(entry), "\n"), "9GR52Y", "GR52Y", 1), "\n"))
	require.Equal(t, "estimate-2", who(entry))
	require.Equal(t, []string{"as it was printed"}, Lines(&adminv1.LogEntry{Message: "as it was printed"}))
}

func TestSinceIsATimeOrHowLongAgoItWas(t *testing.T) {
	tests := map[string]time.Time{
		"": {}, "10m": began.Add(-10 * time.Minute), "1h30m": began.Add(-90 * time.Minute), "2026-01-01T00:00:00Z": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for text, want := range tests {
		at, err := parseSince(text, began)
		require.NoError(t, err)
		require.Equal(t, want, at, text)
	}
	for _, text := range []string{"-1m", "10", "yesterday", "2026-01-01"} {
		_, err := parseSince(text, began)
		require.ErrorContains(t, err, "--since", text)
	}
}

func TestNothingThatANodeHasLoggedActsOnATerminal(t *testing.T) {
	hostile := terminaltest.Hostile()
	fields, err := structpb.NewStruct(map[string]any{hostile: hostile, "error": hostile, "stack": hostile, "where": hostile})
	require.NoError(t, err)
	stream := []*adminv1.LogEntry{
		{Message: hostile, Node: hostile}, {Message: hostile, Fields: fields, RequestId: hostile, Level: adminv1.LogEntry_ERROR},
		said(1, "greet", "the end"),
	}
	for _, format := range []string{"table", "json", "yaml"} {
		serve(t, &script{streams: [][]*adminv1.LogEntry{stream}})
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs written
		ended := make(chan error, 1)
		command := Command{Version: "v1", Follow: true, Lines: 3, Level: "debug", Format: output.Format{Output: format}}
		go func() { ended <- command.Run(ctx, &console.Console{In: strings.NewReader(""), Out: &out, Err: &errs}) }()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), "the end") }, time.Minute, 5*time.Millisecond)
		cancel()
		require.NoError(t, <-ended)
		terminaltest.Harmless(t, out.String(), false)
		terminaltest.Harmless(t, errs.String(), false)
	}
}
