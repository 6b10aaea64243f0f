package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const token = "open-sesame"

// services answer as the test wants.
type services struct {
	adminv1.UnimplementedRuntimeServiceServer
	adminv1.UnimplementedVersionServiceServer

	create func(*adminv1.CreateRuntimeRequest) (*adminv1.Runtime, error)
	update func(*adminv1.UpdateRuntimeRequest) (*adminv1.Runtime, error)
	watch  func(*adminv1.WatchRuntimeRequest, grpc.ServerStreamingServer[adminv1.WatchRuntimeResponse]) error
	upload func(grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]) error
	list   func(*adminv1.ListVersionsRequest) (*adminv1.ListVersionsResponse, error)
	remove func(*adminv1.DeleteVersionRequest) error
	config func(*adminv1.UpdateConfigRequest) (*adminv1.Config, error)
	search func(*adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error)
	tail   func(*adminv1.TailLogsRequest, grpc.ServerStreamingServer[adminv1.TailLogsResponse]) error
}

func (s *services) CreateRuntime(_ context.Context, r *adminv1.CreateRuntimeRequest) (*adminv1.Runtime, error) {
	return s.create(r)
}

func (s *services) UpdateRuntime(_ context.Context, r *adminv1.UpdateRuntimeRequest) (*adminv1.Runtime, error) {
	return s.update(r)
}

func (s *services) WatchRuntime(r *adminv1.WatchRuntimeRequest, stream grpc.ServerStreamingServer[adminv1.WatchRuntimeResponse]) error {
	return s.watch(r, stream)
}

func (s *services) UploadVersion(stream grpc.ClientStreamingServer[adminv1.UploadVersionRequest, adminv1.Version]) error {
	return s.upload(stream)
}

func (s *services) ListVersions(_ context.Context, r *adminv1.ListVersionsRequest) (*adminv1.ListVersionsResponse, error) {
	return s.list(r)
}

func (s *services) DeleteVersion(_ context.Context, r *adminv1.DeleteVersionRequest) (*emptypb.Empty, error) {
	return new(emptypb.Empty), s.remove(r)
}

func (s *services) UpdateConfig(_ context.Context, r *adminv1.UpdateConfigRequest) (*adminv1.Config, error) {
	return s.config(r)
}

func (s *services) SearchLogs(_ context.Context, r *adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error) {
	return s.search(r)
}

func (s *services) TailLogs(r *adminv1.TailLogsRequest, stream grpc.ServerStreamingServer[adminv1.TailLogsResponse]) error {
	return s.tail(r, stream)
}

func authenticate(ctx context.Context, _ string) (context.Context, error) {
	if given := metadata.ValueFromIncomingContext(ctx, "authorization"); len(given) == 1 && given[0] == "Bearer "+token {
		return ctx, nil
	}
	return nil, fault.New(fault.Unauthenticated, "who are you?").For("ERROR_REASON_UNAUTHENTICATED")
}

// serve is a REST API in front of such services.
func serve(t *testing.T, s *services, opts httpapi.Options) string {
	t.Helper()
	server := rpc.NewServer(zap.NewNop(), rpc.Options{Authenticate: authenticate})
	adminv1.RegisterRuntimeServiceServer(server, s)
	adminv1.RegisterVersionServiceServer(server, s)
	local, err := server.Local()
	require.NoError(t, err)
	opts.Authenticate = authenticate
	handler, err := httpapi.New(local, zap.NewNop(), opts)
	require.NoError(t, err)
	web := httptest.NewServer(handler)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		require.NoError(t, local.Close())
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
	})
	return web.URL
}

// do makes a request with the token and returns the code and what the answer's JSON holds.
func do(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	response := send(t, method, url, strings.NewReader(body), nil)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var answer map[string]any
	require.NoErrorf(t, json.Unmarshal(text, &answer), "%s", text)
	return response.StatusCode, answer
}

func send(t *testing.T, method, url string, body io.Reader, header http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	return response
}

func reason(t *testing.T, answer map[string]any) string {
	t.Helper()
	require.NotEmpty(t, answer["details"])
	return answer["details"].([]any)[0].(map[string]any)["reason"].(string)
}

// violations are the fields that an error names, with what it says.
func violations(t *testing.T, answer map[string]any) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, detail := range answer["details"].([]any) {
		listed, _ := detail.(map[string]any)["fieldViolations"].([]any)
		for _, one := range listed {
			one := one.(map[string]any)
			found[one["field"].(string)] = one["description"].(string)
		}
	}
	return found
}

func TestNothingButHealthAndThePageAnswersWithoutAToken(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{})
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 200, "/docs/page.js": 200, "/docs/page.css": 200,
		"/openapi.json": 401, "/v1/runtimes": 401, "/v1/nothing": 401, "/nothing": 401,
	} {
		response, err := http.Get(base + path)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, want, response.StatusCode, path)
		if want == 401 {
			require.Contains(t, response.Header.Get("WWW-Authenticate"), "Bearer", path)
		}
	}
	code, _ := do(t, "GET", base+"/openapi.json", "")
	require.Equal(t, 200, code)
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{})
	response := send(t, "GET", base+"/", nil, nil)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'")
	for _, path := range []string{"/", "/docs/page.js", "/docs/page.css"} {
		response := send(t, "GET", base+path, nil, nil)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.NotEmpty(t, text)
		require.NotRegexp(t, `(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//`, string(text), path)
	}
}

func TestReadinessIsThatOfWhatIsBehind(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{Ready: func(context.Context) error { return fault.New(fault.Unavailable, "no store") }})
	response, err := http.Get(base + "/readyz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 503, response.StatusCode)
}

func TestZerosArePrintedAndAbsentMessagesLeftOut(t *testing.T) {
	s := &services{create: func(r *adminv1.CreateRuntimeRequest) (*adminv1.Runtime, error) {
		return &adminv1.Runtime{Name: "runtimes/" + r.GetRuntimeId(), Description: r.GetRuntime().GetDescription()}, nil
	}}
	base := serve(t, s, httpapi.Options{})
	code, answer := do(t, "POST", base+"/v1/runtimes?runtimeId=prod", `{"description": "for real"}`)
	require.Equal(t, 200, code)
	require.Equal(t, map[string]any{
		"name": "runtimes/prod", "description": "for real", "revision": "0", "state": "STATE_UNSPECIFIED", "stateReason": "",
		"publishedVersion": "", "grpcAddress": "", "httpAddress": "",
	}, answer)
}

func TestAPatchTellsWhichFieldsItHolds(t *testing.T) {
	var got *adminv1.UpdateRuntimeRequest
	s := &services{update: func(r *adminv1.UpdateRuntimeRequest) (*adminv1.Runtime, error) {
		got = r
		return r.GetRuntime(), nil
	}}
	base := serve(t, s, httpapi.Options{})
	code, _ := do(t, "PATCH", base+"/v1/runtimes/prod", `{"description": ""}`)
	require.Equal(t, 200, code)
	require.Equal(t, "runtimes/prod", got.GetRuntime().GetName())
	require.Equal(t, []string{"description"}, got.GetUpdateMask().GetPaths())
}

func TestWhatIsNotThereSaysSo(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{})
	code, answer := do(t, "GET", base+"/v1/runtime", "")
	require.Equal(t, 404, code)
	require.EqualValues(t, 5, answer["code"])
	require.Contains(t, answer["message"], "/openapi.json")

	response := send(t, "PUT", base+"/v1/runtimes/prod", strings.NewReader("{}"), nil)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, 405, response.StatusCode)
	require.Equal(t, "DELETE, GET, PATCH", response.Header.Get("Allow"))
}

func TestARequestThatCannotBeReadNamesTheField(t *testing.T) {
	s := &services{config: func(*adminv1.UpdateConfigRequest) (*adminv1.Config, error) { return &adminv1.Config{}, nil }}
	base := serve(t, s, httpapi.Options{})
	version := base + "/v1/runtimes/prod/versions/v1"
	for name, c := range map[string]struct{ method, url, body, field, says string }{
		"no JSON":                    {"POST", version + ":start", `{"comment": `, "body", "it is no JSON"},
		"something behind the JSON":  {"POST", version + ":start", `{} {}`, "body", "something follows"},
		"a list in place of object":  {"POST", version + ":start", `[]`, "body", "it is a list; want an object"},
		"an unknown field":           {"POST", version + ":start", `{"commnt": "x"}`, "commnt", "`comment`"},
		"a number for a text":        {"POST", version + ":start", `{"comment": 5}`, "comment", "it is the number 5; want a text"},
		"a text for a bool":          {"POST", version + ":stop", `{"discard": "yes"}`, "discard", "want true or false"},
		"a fraction for a number":    {"POST", version + ":stop", `{"revision": 1.5}`, "revision", "whole number"},
		"a list for a map":           {"PATCH", version + "/config", `{"variables": ["A"]}`, "variables", "want an object"},
		"a number in a map":          {"PATCH", version + "/config", `{"variables": {"A": 5}}`, "variables.A", "want a text"},
		"no base64":                  {"PATCH", version + "/config", `{"files": {"A": "%"}}`, "files.A", "base64"},
		"a text for a list":          {"PATCH", version + "/config", `{"unset": "A"}`, "unset", "want a list"},
		"a number in a list":         {"PATCH", version + "/config", `{"unset": ["A", 1]}`, "unset[1]", "want a text"},
		"a duration without a unit":  {"POST", version + ":call", `{"rpc": "Do", "timeout": "5"}`, "timeout", "1.5s"},
		"an unknown nested field":    {"POST", base + "/v1/runtimes", `{"descr": "x"}`, "descr", "`description`"},
		"an unknown parameter":       {"GET", version + "/logs?pagesize=5", "", "pagesize", "`pageSize`"},
		"a parameter of no number":   {"GET", version + "/logs?pageSize=many", "", "pageSize", "whole number"},
		"a parameter of no time":     {"GET", version + "/logs?startTime=today", "", "startTime", "2026-01-31T10:00:00Z"},
		"a parameter of no level":    {"GET", version + "/logs?minLevel=LOUD", "", "minLevel", "WARN"},
		"a parameter of no bool":     {"GET", version + "/logs?oldestFirst=perhaps", "", "oldestFirst", "true or false"},
		"a parameter for the body":   {"POST", version + ":start?comment=x", `{}`, "comment", "into the body"},
		"a parameter of a watch":     {"GET", base + "/v1/runtimes/prod:watch?afterRevision=x", "", "afterRevision", "whole number"},
		"a misspelt one of a watch":  {"GET", base + "/v1/runtimes/prod:watch?after=5", "", "after", "`afterRevision`"},
		"a misspelt one of a upload": {"POST", base + "/v1/runtimes/prod/versions?coment=x", "", "coment", "`comment`"},
	} {
		t.Run(name, func(t *testing.T) {
			code, answer := do(t, c.method, c.url, c.body)
			require.Equal(t, 400, code, answer)
			require.EqualValues(t, 3, answer["code"])
			require.Equal(t, "ERROR_REASON_INVALID_REQUEST", reason(t, answer))
			require.Contains(t, violations(t, answer), c.field)
			require.Contains(t, violations(t, answer)[c.field], c.says)
			require.Contains(t, answer["message"], c.field)
		})
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	base := serve(t, &services{}, httpapi.Options{})
	code, answer := do(t, "PATCH", base+"/v1/runtimes/prod/versions/v1/config", strings.Repeat(" ", 13<<20)+"{}")
	require.Equal(t, 413, code)
	require.Equal(t, "ERROR_REASON_TOO_LARGE", reason(t, answer))
}

func TestAnErrorOfACallKeepsItsDetails(t *testing.T) {
	s := &services{remove: func(*adminv1.DeleteVersionRequest) error {
		return fault.New(fault.Precondition, "it runs").For("ERROR_REASON_WRONG_STATE", "state", "STARTED")
	}}
	base := serve(t, s, httpapi.Options{})
	response := send(t, "DELETE", base+"/v1/runtimes/prod/versions/v1?comment=old", nil, nil)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, 400, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("X-Request-Id"))
	var answer map[string]any
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(t, map[string]any{
		"code": 9.0, "message": "it runs", "details": []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ERROR_REASON_WRONG_STATE",
			"domain": "kre.konstellation.io", "metadata": map[string]any{"state": "STARTED"},
		}},
	}, answer)
}

func TestParametersOfAQueryReachTheCall(t *testing.T) {
	var got *adminv1.SearchLogsRequest
	s := &services{search: func(r *adminv1.SearchLogsRequest) (*adminv1.SearchLogsResponse, error) {
		got = r
		fields, err := structpb.NewStruct(map[string]any{"n": 1})
		return &adminv1.SearchLogsResponse{Entries: []*adminv1.LogEntry{{Message: "hello", Fields: fields}}}, err
	}}
	base := serve(t, s, httpapi.Options{})
	code, answer := do(t, "GET", base+"/v1/runtimes/prod/versions/v1/logs?nodes=a&nodes=b&minLevel=WARN&startTime=2026-01-31T10:00:00Z&oldestFirst=true", "")
	require.Equal(t, 200, code)
	require.Equal(t, []string{"a", "b"}, got.GetNodes())
	require.Equal(t, adminv1.LogEntry_WARN, got.GetMinLevel())
	require.EqualValues(t, 1769853600, got.GetStartTime().GetSeconds())
	require.True(t, got.GetOldestFirst())
	require.Equal(t, map[string]any{"n": 1.0}, answer["entries"].([]any)[0].(map[string]any)["fields"])
}
