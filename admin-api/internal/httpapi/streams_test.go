package httpapi_test

import (
	"bufio"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

func TestAStreamIsOneObjectPerLineAsSoonAsItIsThere(t *testing.T) {
	next, got := make(chan int64), make(chan *adminv1.WatchRuntimeRequest, 1)
	s := &services{watch: func(r *adminv1.WatchRuntimeRequest, stream grpc.ServerStreamingServer[adminv1.WatchRuntimeResponse]) error {
		got <- r
		for revision := range next {
			if err := stream.Send(&adminv1.WatchRuntimeResponse{
				Revision: revision, Event: &adminv1.WatchRuntimeResponse_DeletedVersion{DeletedVersion: "v"},
			}); err != nil {
				return err
			}
		}
		return fault.New(fault.Unavailable, "going down").For("ERROR_REASON_UNAVAILABLE", "service", "admin-api")
	}}
	base := serve(t, s, httpapi.Options{})
	go func() { next <- 7 }()
	response := send(t, "GET", base+"/v1/runtimes/prod:watch?afterRevision=5", nil, nil)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "application/x-ndjson", response.Header.Get("Content-Type"))
	require.NotEmpty(t, response.Header.Get("X-Request-Id"))
	asked := <-got
	require.Equal(t, "runtimes/prod", asked.GetName())
	require.EqualValues(t, 5, asked.GetAfterRevision())

	lines := bufio.NewScanner(response.Body)
	require.True(t, lines.Scan())
	require.JSONEq(t, `{"revision": "7", "deletedVersion": "v"}`, lines.Text())
	next <- 8 // nothing waits for more than one line
	require.True(t, lines.Scan())
	require.JSONEq(t, `{"revision": "8", "deletedVersion": "v"}`, lines.Text())
	close(next)
	require.True(t, lines.Scan())
	var last struct {
		Error struct {
			Code    int
			Message string
		}
	}
	require.NoError(t, json.Unmarshal(lines.Bytes(), &last))
	require.Equal(t, 14, last.Error.Code)
	require.Equal(t, "going down", last.Error.Message)
	require.False(t, lines.Scan())
}

func TestAStreamThatCannotBeginIsAnErrorLikeAnyOther(t *testing.T) {
	s := &services{watch: func(*adminv1.WatchRuntimeRequest, grpc.ServerStreamingServer[adminv1.WatchRuntimeResponse]) error {
		return fault.New(fault.NotFound, "there is no runtime prod").For("ERROR_REASON_RUNTIME_NOT_FOUND", "runtime", "prod")
	}}
	code, answer := do(t, "GET", serve(t, s, httpapi.Options{})+"/v1/runtimes/prod:watch", "")
	require.Equal(t, 404, code)
	require.Equal(t, "ERROR_REASON_RUNTIME_NOT_FOUND", reason(t, answer))
}

func TestASilentStreamBeginsAllTheSame(t *testing.T) {
	ended := make(chan struct{})
	s := &services{tail: func(_ *adminv1.TailLogsRequest, stream grpc.ServerStreamingServer[adminv1.TailLogsResponse]) error {
		defer close(ended)
		if err := stream.SendHeader(metadata.Pairs(httpapi.StreamOpen, "true")); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	response := send(t, "GET", serve(t, s, httpapi.Options{})+"/v1/runtimes/prod/versions/v1/logs:tail", nil, nil)
	require.Equal(t, 200, response.StatusCode) // comes without any line
	require.NoError(t, response.Body.Close())
	<-ended // and the call ends with its reader
}
