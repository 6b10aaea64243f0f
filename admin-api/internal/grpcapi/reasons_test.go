package grpcapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// sample is how a caller comes to an error, over gRPC and over REST. There is a runtime prod with the versions v1, which is
// stopped and has all it needs, and v2, which lacks API_KEY.
type sample struct {
	prepare func(t *testing.T, f *fixture)
	call    func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error
	token   string // other than the right one
	method  string
	path    string
	body    string

	code     codes.Code
	http     int
	says     string            // part of what the error says to a person
	metadata map[string]string // "*": something
	fields   map[string]string // of the request, and part of what is said of each
}

const (
	v1 = "runtimes/prod/versions/v1"
	v2 = "runtimes/prod/versions/v2"
)

// refusing makes uploads fail.
func refusing(err error) func(*testing.T, *fixture) {
	return func(_ *testing.T, f *fixture) { f.world.Refuse(err) }
}

// uploading uploads a package over gRPC.
func uploading(runtime, content string) func(context.Context, *fixture, ...grpc.CallOption) error {
	return func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
		stream, err := f.versions.UploadVersion(ctx, opts...)
		if err != nil {
			return err
		}
		if err := stream.Send(&adminv1.UploadVersionRequest{Parent: "runtimes/" + runtime, Chunk: []byte(content)}); err != nil {
			return err
		}
		_, err = stream.CloseAndRecv()
		return err
	}
}

var samples = map[adminv1.ErrorReason]sample{
	adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED: {
		token: "guessed", method: "GET", path: "/v1/runtimes/prod",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.GetRuntime(ctx, &adminv1.GetRuntimeRequest{Name: "runtimes/prod"}, opts...)
			return err
		},
		code: codes.Unauthenticated, http: 401, says: "administrator's token",
	},
	adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST: {
		method: "POST", path: "/v1/runtimes?runtimeId=Prod%21", body: "{}",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.CreateRuntime(ctx, &adminv1.CreateRuntimeRequest{RuntimeId: "Prod!"}, opts...)
			return err
		},
		code: codes.InvalidArgument, http: 400, says: "lower-case letters", fields: map[string]string{"runtime_id": `"Prod!" is no name`},
	},
	adminv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN: {
		method: "GET", path: "/v1/runtimes/prod/versions?pageToken=abc",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.ListVersions(ctx, &adminv1.ListVersionsRequest{Parent: "runtimes/prod", PageToken: "abc"}, opts...)
			return err
		},
		code: codes.InvalidArgument, http: 400, says: "next_page_token", fields: map[string]string{"page_token": "not of this list"},
	},
	adminv1.ErrorReason_ERROR_REASON_INVALID_FILTER: {
		method: "GET", path: "/v1/runtimes/prod/versions?filter=colour%20%3D%20red",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.ListVersions(ctx, &adminv1.ListVersionsRequest{Parent: "runtimes/prod", Filter: "colour = red"}, opts...)
			return err
		},
		code: codes.InvalidArgument, http: 400, says: "name, running, published, digest",
		metadata: map[string]string{"field": "colour"}, fields: map[string]string{"filter": `no field "colour"`},
	},
	adminv1.ErrorReason_ERROR_REASON_INVALID_PACKAGE: {
		prepare: refusing(fault.New(fault.Invalid, "the entry ../x leads out of the package").For(engine.ReasonInvalidPackage, "entry", "../x")),
		method:  "POST", path: "/v1/runtimes/prod/versions", body: "v3", call: uploading("prod", "v3"),
		code: codes.InvalidArgument, http: 400, says: "leads out of the package", metadata: map[string]string{"entry": "../x"},
	},
	adminv1.ErrorReason_ERROR_REASON_INVALID_MANIFEST: {
		prepare: func(_ *testing.T, f *fixture) {
			refusal := fault.New(fault.Invalid, "the manifest has 2 problems").For(engine.ReasonInvalidManifest)
			refusal.Fields = []fault.Field{{Path: "version", Message: "it is missing"}, {Path: "workflows[0].nodes[1].src", Message: "no such file"}}
			f.world.Refuse(refusal)
		},
		method: "POST", path: "/v1/runtimes/prod/versions", body: "v3", call: uploading("prod", "v3"),
		code: codes.InvalidArgument, http: 400, says: "2 problems",
		fields: map[string]string{"version": "missing", "workflows[0].nodes[1].src": "no such file"},
	},
	adminv1.ErrorReason_ERROR_REASON_RUNTIME_NOT_FOUND: {
		method: "GET", path: "/v1/runtimes/other",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.GetRuntime(ctx, &adminv1.GetRuntimeRequest{Name: "runtimes/other"}, opts...)
			return err
		},
		code: codes.NotFound, http: 404, says: "no runtime other", metadata: map[string]string{"runtime": "other"},
	},
	adminv1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND: {
		method: "GET", path: "/v1/runtimes/prod/versions/other",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: "runtimes/prod/versions/other"}, opts...)
			return err
		},
		code: codes.NotFound, http: 404, says: "no version other", metadata: map[string]string{"runtime": "prod", "version": "other"},
	},
	adminv1.ErrorReason_ERROR_REASON_NO_DOCUMENTATION: {
		method: "GET", path: "/v1/" + v1 + "/documentation",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.GetDocumentation(ctx, &adminv1.GetDocumentationRequest{Name: v1 + "/documentation"}, opts...)
			return err
		},
		code: codes.NotFound, http: 404, says: "docs/README.md", metadata: map[string]string{"runtime": "prod", "version": "v1"},
	},
	adminv1.ErrorReason_ERROR_REASON_RUNTIME_EXISTS: {
		method: "POST", path: "/v1/runtimes?runtimeId=prod", body: "{}",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.CreateRuntime(ctx, &adminv1.CreateRuntimeRequest{RuntimeId: "prod"}, opts...)
			return err
		},
		code: codes.AlreadyExists, http: 409, says: "a runtime prod already", metadata: map[string]string{"runtime": "prod"},
	},
	adminv1.ErrorReason_ERROR_REASON_VERSION_EXISTS: {
		method: "POST", path: "/v1/runtimes/prod/versions", body: "v1", call: uploading("prod", "v1"),
		code: codes.AlreadyExists, http: 409, says: "give the package another version name",
		metadata: map[string]string{"runtime": "prod", "version": "v1", "digest": "digest-v1", "state": "STOPPED", "create_time": "*"},
	},
	adminv1.ErrorReason_ERROR_REASON_WRONG_STATE: {
		method: "POST", path: "/v1/" + v1 + ":publish", body: "{}",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.PublishVersion(ctx, &adminv1.PublishVersionRequest{Name: v1}, opts...)
			return err
		},
		code: codes.FailedPrecondition, http: 400, says: "version v1 is STOPPED: start it",
		metadata: map[string]string{"version": "v1", "state": "STOPPED"},
	},
	adminv1.ErrorReason_ERROR_REASON_CONFIG_MISSING: {
		method: "POST", path: "/v1/" + v2 + ":start", body: "{}",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: v2}, opts...)
			return err
		},
		code: codes.FailedPrecondition, http: 400, says: "API_KEY, CERT", metadata: map[string]string{"version": "v2", "keys": "API_KEY,CERT"},
	},
	adminv1.ErrorReason_ERROR_REASON_RUNTIME_DELETING: {
		prepare: func(t *testing.T, f *fixture) {
			f.world.Away() // so that it is not gone at once
			_, err := f.runtimes.DeleteRuntime(t.Context(), &adminv1.DeleteRuntimeRequest{Name: "runtimes/prod", Confirm: "prod"})
			require.NoError(t, err)
		},
		method: "PATCH", path: "/v1/runtimes/prod", body: `{"description": "new"}`,
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.UpdateRuntime(ctx, &adminv1.UpdateRuntimeRequest{
				Runtime: &adminv1.Runtime{Name: "runtimes/prod", Description: "new"},
			}, opts...)
			return err
		},
		code: codes.FailedPrecondition, http: 400, says: "wait until it is gone", metadata: map[string]string{"runtime": "prod"},
	},
	adminv1.ErrorReason_ERROR_REASON_CONFLICT: {
		method: "PATCH", path: "/v1/runtimes/prod", body: `{"description": "new", "revision": 1}`,
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.runtimes.UpdateRuntime(ctx, &adminv1.UpdateRuntimeRequest{
				Runtime: &adminv1.Runtime{Name: "runtimes/prod", Description: "new", Revision: 1},
			}, opts...)
			return err
		},
		code: codes.Aborted, http: 409, says: "look at it again", metadata: map[string]string{"revision": "*"},
	},
	adminv1.ErrorReason_ERROR_REASON_UNAVAILABLE: {
		prepare: func(_ *testing.T, f *fixture) { f.world.Away() },
		method:  "POST", path: "/v1/" + v1 + ":start", body: "{}",
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: v1}, opts...)
			return err
		},
		code: codes.Unavailable, http: 503, says: "try again", metadata: map[string]string{"service": "k8s-manager"},
	},
	adminv1.ErrorReason_ERROR_REASON_TOO_LARGE: {
		method: "PATCH", path: "/v1/" + v2 + "/config", body: `{"variables": {"API_KEY": "` + strings.Repeat("x", engine.MaxVariable+1) + `"}}`,
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.UpdateConfig(ctx, &adminv1.UpdateConfigRequest{
				Name: v2 + "/config", Variables: map[string]string{"API_KEY": strings.Repeat("x", engine.MaxVariable+1)},
			}, opts...)
			return err
		},
		code: codes.ResourceExhausted, http: 413, says: "API_KEY has 65537 bytes", metadata: map[string]string{"limit_bytes": "65536"},
	},
	adminv1.ErrorReason_ERROR_REASON_CALL_FAILED: {
		prepare: func(t *testing.T, f *fixture) {
			f.start(t, v1)
			f.world.Answer(func(engine.Call) (engine.Answer, error) {
				return engine.Answer{}, status.Error(codes.OutOfRange, "the model knows no house of that size")
			})
		},
		method: "POST", path: "/v1/" + v1 + ":call", body: `{"rpc": "Estimate", "request": {"size": -1}}`,
		call: func(ctx context.Context, f *fixture, opts ...grpc.CallOption) error {
			_, err := f.versions.CallVersion(ctx, &adminv1.CallVersionRequest{Name: v1, Rpc: "Estimate"}, opts...)
			return err
		},
		code: codes.OutOfRange, http: 400, says: "no house of that size", metadata: map[string]string{"version": "v1"},
	},
	adminv1.ErrorReason_ERROR_REASON_BUSY: {
		prepare: refusing(&fault.Error{Kind: fault.Exhausted, Message: "4 packages are being uploaded to this runtime, as many as may",
			Reason: engine.ReasonBusy, RetryAfter: 5 * time.Second}),
		method: "POST", path: "/v1/runtimes/prod/versions", body: "v3", call: uploading("prod", "v3"),
		code: codes.ResourceExhausted, http: 429, says: "as many as may",
	},
	adminv1.ErrorReason_ERROR_REASON_INTERNAL: {
		prepare: refusing(errors.New("disk /dev/sda is on fire")),
		method:  "POST", path: "/v1/runtimes/prod/versions", body: "v3", call: uploading("prod", "v3"),
		code: codes.Internal, http: 500, says: "the log tells more under request", metadata: map[string]string{"request_id": "*"},
	},
}

// TestEveryReasonComesWithItsCodeAndDetailsOverBothAPIs walks the enum: a new value needs a sample.
func TestEveryReasonComesWithItsCodeAndDetailsOverBothAPIs(t *testing.T) {
	values := adminv1.ErrorReason(0).Descriptor().Values()
	for i := range values.Len() {
		reason := adminv1.ErrorReason(values.Get(i).Number())
		if reason == adminv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			t.Parallel()
			s, there := samples[reason]
			require.True(t, there, "no sample shows how a caller comes to this reason")
			s.show(t, reason)
		})
	}
}

func (s sample) show(t *testing.T, reason adminv1.ErrorReason) {
	t.Helper()
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2 API_KEY @CERT")
	if s.prepare != nil {
		s.prepare(t, f)
	}
	given := token
	if s.token != "" {
		given = s.token
		f.runtimes, f.versions = f.as(t, s.token)
	}
	var header metadata.MD
	answer, isStatus := status.FromError(s.call(t.Context(), f, grpc.Header(&header)))
	require.True(t, isStatus)
	require.Equal(t, s.code, answer.Code(), "%v", answer)
	require.Len(t, header.Get("x-request-id"), 1)

	info := infoOf(t, answer)
	require.Equal(t, reason.String(), info.GetReason())
	require.Len(t, info.GetMetadata(), len(s.metadata), "%v", info)
	for key, want := range s.metadata {
		if want == "*" {
			require.NotEmpty(t, info.GetMetadata()[key], key)
		} else {
			require.Equal(t, want, info.GetMetadata()[key], key)
		}
	}
	require.Len(t, violations(answer), len(s.fields), "%v", answer)
	for field, says := range s.fields {
		require.Contains(t, violations(answer)[field], says)
	}
	requireSentence(t, answer.Message())
	require.Contains(t, answer.Message(), s.says)

	code, restHeader, text := f.rest(t, s.method, s.path, s.body, given)
	require.Equal(t, s.http, code, text)
	require.Equal(t, "application/json", restHeader.Get("Content-Type"))
	require.Equal(t, s.http == http.StatusUnauthorized, restHeader.Get("WWW-Authenticate") != "")
	again := s.http == http.StatusServiceUnavailable || s.http == http.StatusTooManyRequests
	require.Equal(t, again, restHeader.Get("Retry-After") != "")
	told := statusOf(t, text)
	if reason == adminv1.ErrorReason_ERROR_REASON_INTERNAL {
		// It names its own request, and nothing of what happened.
		require.Equal(t, header.Get("x-request-id")[0], info.GetMetadata()["request_id"])
		require.Equal(t, restHeader.Get("X-Request-Id"), infoOf(t, told).GetMetadata()["request_id"])
		require.NotContains(t, answer.Message()+text, "fire")
		return
	}
	same, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(answer.Proto())
	require.NoError(t, err)
	require.JSONEq(t, string(same), text)
}

// requireSentence wants something that a person can read.
func requireSentence(t *testing.T, text string) {
	t.Helper()
	require.GreaterOrEqual(t, len(strings.Fields(text)), 4, text)
	for _, leak := range []string{"rpc error", "ERROR_REASON", "%!", "<nil>", "goroutine", "desc =", "&{"} {
		require.NotContains(t, text, leak)
	}
}

// What a version says of a caller it does not know must not look as if we did not know ours.
func TestAVersionThatKnowsNotItsCallerDoesNotSayThatWeDoNot(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.start(t, v1)
	said, err := status.New(codes.Unauthenticated, "who are you to ask for prices").WithDetails(&errdetails.RetryInfo{})
	require.NoError(t, err)
	f.world.Answer(func(engine.Call) (engine.Answer, error) { return engine.Answer{}, said.Err() })
	_, err = f.versions.CallVersion(t.Context(), &adminv1.CallVersionRequest{Name: v1, Rpc: "Estimate"})
	answer := requireReason(t, err, codes.PermissionDenied, adminv1.ErrorReason_ERROR_REASON_CALL_FAILED)
	require.Equal(t, "who are you to ask for prices", answer.Message())
	require.Len(t, answer.Details(), 2, "what the version told is kept")
}
