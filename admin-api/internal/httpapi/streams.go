package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// linePatience is how long a reader of a stream may take for a line.
const linePatience = 30 * time.Second

// byPath are the fields that a path sets, which a query cannot.
var byPath = utilities.NewDoubleArray([][]string{{"name"}, {"parent"}})

func (a *api) watch(w http.ResponseWriter, r *http.Request, params map[string]string) {
	request := &adminv1.WatchRuntimeRequest{Name: params["name"]}
	stream(a, w, r, adminv1.RuntimeService_WatchRuntime_FullMethodName, request,
		func(ctx context.Context) (grpc.ServerStreamingClient[adminv1.WatchRuntimeResponse], error) {
			return a.runtimes.WatchRuntime(ctx, request)
		}, func(event *adminv1.WatchRuntimeResponse) proto.Message { return event })
}

func (a *api) tail(w http.ResponseWriter, r *http.Request, params map[string]string) {
	request := &adminv1.TailLogsRequest{Parent: params["parent"]}
	stream(a, w, r, adminv1.VersionService_TailLogs_FullMethodName, request,
		func(ctx context.Context) (grpc.ServerStreamingClient[adminv1.TailLogsResponse], error) {
			return a.versions.TailLogs(ctx, request)
		}, func(line *adminv1.TailLogsResponse) proto.Message { return line })
}

// stream answers with one JSON object per line, each sent as soon as it is there. What fails before the first line is an
// error like any other; later, it is the last line: {"error": …}.
func stream[M any](a *api, w http.ResponseWriter, r *http.Request, method string, request proto.Message,
	open func(context.Context) (grpc.ServerStreamingClient[M], error), message func(*M) proto.Message,
) {
	if err := runtime.PopulateQueryParameters(request, r.URL.Query(), byPath); err != nil {
		a.failed(w, r, status.Error(codes.InvalidArgument, err.Error()))
		return
	}
	ctx, cancel := a.untilEnding(r.Context())
	defer cancel()
	ctx, err := runtime.AnnotateContext(ctx, a.mux, r, method)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	source, err := open(ctx)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	header, err := source.Header() // sent when the stream is open, or with its error
	if err != nil {
		a.failed(w, r, err)
		return
	}
	told(w, header)
	out := &lineWriter{api: a, w: w, control: http.NewResponseController(w)}
	if len(header.Get(StreamOpen)) > 0 {
		out.begin()
	}
	for {
		next, err := source.Recv()
		if err != nil && errors.Is(context.Cause(ctx), errEnding) {
			err = rpc.Status(errEnding, "").Err()
		}
		switch {
		case errors.Is(err, io.EOF):
			out.begin()
			return
		case err != nil && !out.begun:
			a.failed(w, r, err)
			return
		case err != nil:
			out.fail(err)
			return
		}
		if !out.line(message(next)) {
			return // the reader is gone
		}
	}
}

// errEnding is why a stream ends when the program does.
var errEnding = fault.New(fault.Unavailable, "the service is stopping; call again").
	For(adminv1.ErrorReason_ERROR_REASON_UNAVAILABLE.String(), "service", "admin-api")

// untilEnding is a context that ends when the program does.
func (a *api) untilEnding(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-a.ending:
			cancel(errEnding)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// StreamOpen is the metadata by which a stream that may be silent for long says that it has begun.
const StreamOpen = "kre-stream"

// lineWriter writes lines.
type lineWriter struct {
	api     *api
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// begin sends the header, so that the reader knows that all is well however long the first line takes.
func (l *lineWriter) begin() {
	if l.begun {
		return
	}
	l.begun = true
	l.w.Header().Set("Content-Type", lines)
	l.w.Header().Set("Cache-Control", "no-store")
	l.w.WriteHeader(http.StatusOK)
	_ = l.control.Flush() // a reader that has gone is noticed by the next line
}

// line tells whether the reader is still there.
func (l *lineWriter) line(message proto.Message) bool {
	l.begin()
	text, err := l.api.json.Marshal(message)
	if err != nil {
		l.fail(status.Error(codes.Internal, "a message cannot be told as JSON"))
		return false
	}
	return l.write(text)
}

func (l *lineWriter) fail(err error) {
	text := append([]byte(`{"error":`), l.api.marshalStatus(status.Convert(err))...)
	l.write(append(text, '}'))
}

func (l *lineWriter) write(text []byte) bool {
	if l.control.SetWriteDeadline(time.Now().Add(linePatience)) != nil {
		return false
	}
	if _, err := l.w.Write(append(text, '\n')); err != nil {
		return false
	}
	return l.control.Flush() == nil
}
