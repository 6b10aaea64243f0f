package remote_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/remote/remotetest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

func reason(reason adminv1.ErrorReason, metadata ...string) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: reason.String(), Metadata: make(map[string]string)}
	for i := 0; i+1 < len(metadata); i += 2 {
		info.Metadata[metadata[i]] = metadata[i+1]
	}
	return info
}

func wrong(fields ...string) *errdetails.BadRequest {
	bad := new(errdetails.BadRequest)
	for i := 0; i+1 < len(fields); i += 2 {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: fields[i], Description: fields[i+1]})
	}
	return bad
}

func TestAFailureIsASentenceItsFieldsAndWhatToDo(t *testing.T) {
	e := &remote.Engine{Context: cliconfig.Context{GRPC: "kre.example:7081"}, Name: "prod"}
	tests := map[string]struct {
		code    codes.Code
		message string
		details []protoadapt.MessageV1
		want    string
	}{
		"missing configuration": {
			codes.FailedPrecondition, "values are missing: A, B",
			[]protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_CONFIG_MISSING, "version", "v1", "keys", "A,B")},
			"cannot try: values are missing: A, B\nSet them: kre version config set v1 A=VALUE B=VALUE",
		},
		"a token": {
			codes.Unauthenticated, "it is not known", []protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)},
			"cannot try: it is not known\nIts token in the context prod is not, or no longer, that of the engine: kre login kre.example:7081 --name prod",
		},
		"a manifest": {
			codes.InvalidArgument, "a (line 2): x\nb: y",
			[]protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_INVALID_MANIFEST), wrong("a", "(line 2) x", "b", "y")},
			"cannot try: its manifest has 2 complaints\n  a (line 2): x\n  b: y",
		},
		"one field, which the sentence tells": {
			codes.InvalidArgument, "filter: it is wrong",
			[]protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_INVALID_FILTER), wrong("filter", "it is wrong")},
			"cannot try: filter: it is wrong",
		},
		"a name in use by one that can go": {
			codes.AlreadyExists, "there is v1",
			[]protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_VERSION_EXISTS, "version", "v1", "state", "STOPPED")},
			"cannot try: there is v1\nkre version delete v1 removes the one that is there.",
		},
		"a name in use by one that runs": {
			codes.AlreadyExists, "there is v1",
			[]protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_VERSION_EXISTS, "version", "v1", "state", "STARTED")},
			"cannot try: there is v1",
		},
		"the version's own answer": {
			codes.NotFound, "no such carat", []protoadapt.MessageV1{reason(adminv1.ErrorReason_ERROR_REASON_CALL_FAILED, "version", "v1")},
			"cannot try: NOT_FOUND: no such carat",
		},
		"nobody": {
			codes.Unavailable, "connection refused", nil, "cannot try: no engine answers at kre.example:7081\n" + remote.Elsewhere,
		},
		"what would move the cursor": {codes.Internal, "a\x1b[2Jb", nil, "cannot try: a\\x1b[2Jb"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := status.New(test.code, test.message).WithDetails(test.details...)
			require.NoError(t, err)
			explained := e.Explain("try", s.Err())
			require.EqualError(t, explained, test.want)
			require.Equal(t, test.code, status.Code(explained))
			require.Same(t, explained, e.Explain("try again", explained), "it is explained once")
		})
	}
	require.NoError(t, e.Explain("try", nil))
	require.ErrorIs(t, e.Explain("try", status.FromContextError(context.Canceled).Err()), context.Canceled)
}

func TestNamesOfResources(t *testing.T) {
	require.Equal(t, "runtimes/a", remote.RuntimeName("a"))
	require.Equal(t, "runtimes/a", remote.RuntimeName("runtimes/a"))
	require.Equal(t, "runtimes/a/versions/v1", remote.VersionName("runtimes/a", "v1"))
	require.Equal(t, "runtimes/b/versions/v1", remote.VersionName("runtimes/a", "runtimes/b/versions/v1"))
	require.Equal(t, "v1", remote.Last("runtimes/a/versions/v1"))
	require.Equal(t, "v1", remote.VersionOf("runtimes/a/versions/v1/config"))
	require.Equal(t, "runtimes/a", remote.RuntimeOf("runtimes/a/versions/v1"))
}

func TestWhichRuntimeIsMeant(t *testing.T) {
	remotetest.Open(t, "127.0.0.1:1")
	of := func(f remote.RuntimeFlags) string {
		e, runtime, err := f.Open()
		require.NoError(t, err)
		e.Close()
		return runtime
	}
	require.Equal(t, "runtimes/prices", of(remote.RuntimeFlags{}), "the chosen one")
	t.Setenv("KRE_RUNTIME", "env")
	require.Equal(t, "runtimes/env", of(remote.RuntimeFlags{}))
	require.Equal(t, "runtimes/flag", of(remote.RuntimeFlags{Runtime: "flag"}))
}

func TestWaitingOutlastsAnEngineThatIsAway(t *testing.T) {
	var told []string
	tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	looks := 0
	err := remote.Until(t.Context(), tell, func() (bool, error) {
		looks++
		if looks == 2 || looks == 3 {
			return false, status.Error(codes.Unavailable, "away\nmore")
		}
		return looks == 5, nil
	})
	require.NoError(t, err)
	require.Equal(t, 5, looks)
	require.Len(t, told, 1, "it is told once")
	require.Contains(t, told[0], "away; still waiting")

	broken := errors.New("broken")
	require.ErrorIs(t, remote.Until(t.Context(), tell, func() (bool, error) { return false, broken }), broken)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, remote.Until(over, tell, func() (bool, error) { return false, nil }), context.Canceled)
}

// watched is a runtime of which a stream tells one change and breaks.
type watched struct {
	adminv1.UnimplementedRuntimeServiceServer
	revision atomic.Int64
	after    chan int64
}

func (w *watched) WatchRuntime(request *adminv1.WatchRuntimeRequest, stream adminv1.RuntimeService_WatchRuntimeServer) error {
	w.after <- request.GetAfterRevision()
	if err := stream.Send(&adminv1.WatchRuntimeResponse{Revision: w.revision.Add(1)}); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "broken")
}

func TestAWatchIsTakenUpBehindTheLastChange(t *testing.T) {
	w := &watched{after: make(chan int64, 3)}
	address, _ := remotetest.Serve(t, "", w, adminv1.UnimplementedVersionServiceServer{})
	e := remotetest.Open(t, address)
	var seen []int64
	err := e.Watch(t.Context(), "runtimes/prices", t.Logf, func(event *adminv1.WatchRuntimeResponse) (bool, error) {
		seen = append(seen, event.GetRevision())
		return event.GetRevision() == 3, nil
	})
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3}, seen)
	for want := range int64(3) {
		require.Equal(t, want, <-w.after)
	}
}
