package grpcapi_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/grpcapi"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	invalidRequest = adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST
	invalidFilter  = adminv1.ErrorReason_ERROR_REASON_INVALID_FILTER
	invalidToken   = adminv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN
	conflict       = adminv1.ErrorReason_ERROR_REASON_CONFLICT
	tooLarge       = adminv1.ErrorReason_ERROR_REASON_TOO_LARGE
)

// list asks for a page over gRPC by the path that it has over REST, and returns the token of the next one.
func (f *fixture) list(ctx context.Context, path, filter, token string, size int32) (next string, err error) {
	switch parent := strings.TrimPrefix(path, "/v1/"); {
	case parent == "runtimes":
		page, err := f.runtimes.ListRuntimes(ctx, &adminv1.ListRuntimesRequest{Filter: filter, PageToken: token, PageSize: size})
		return page.GetNextPageToken(), err
	case strings.HasSuffix(parent, "/activities"):
		page, err := f.runtimes.ListActivities(ctx, &adminv1.ListActivitiesRequest{
			Parent: strings.TrimSuffix(parent, "/activities"), Filter: filter, PageToken: token, PageSize: size,
		})
		return page.GetNextPageToken(), err
	case strings.HasSuffix(parent, "/logs"):
		page, err := f.versions.SearchLogs(ctx, &adminv1.SearchLogsRequest{
			Parent: strings.TrimSuffix(parent, "/logs"), Text: filter, PageToken: token, PageSize: size,
		})
		return page.GetNextPageToken(), err
	default:
		page, err := f.versions.ListVersions(ctx, &adminv1.ListVersionsRequest{
			Parent: strings.TrimSuffix(parent, "/versions"), Filter: filter, PageToken: token, PageSize: size,
		})
		return page.GetNextPageToken(), err
	}
}

// requireRest wants the same error over REST.
func (f *fixture) requireRest(t *testing.T, method, path, body string, code int, reason adminv1.ErrorReason) *status.Status {
	t.Helper()
	got, _, text := f.rest(t, method, path, body, token)
	require.Equal(t, code, got, text)
	told := statusOf(t, text)
	require.Equal(t, reason.String(), infoOf(t, told).GetReason())
	return told
}

func TestAPageTokenIsOfOneListOnly(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2", "v3")
	f.create(t, "test", "v1", "v2")
	f.world.Log(engine.LogEntry{Message: "one"}, engine.LogEntry{Message: "two"})
	type list struct{ path, filter string }
	lists := []list{
		{"/v1/runtimes", ""},
		{"/v1/runtimes/prod/versions", ""},
		{"/v1/runtimes/prod/versions", `name = "v*"`},
		{"/v1/runtimes/test/versions", ""},
		{"/v1/runtimes/prod/activities", ""},
		{"/v1/runtimes/prod/activities", "action = version.create"},
		{"/v1/runtimes/test/activities", ""},
		{"/v1/" + v1 + "/logs", ""},
		{"/v1/" + v2 + "/logs", ""},
	}
	for _, of := range lists {
		next, err := f.list(t.Context(), of.path, of.filter, "", 1)
		require.NoError(t, err)
		require.NotEmpty(t, next, "%v has a second page", of)
		for _, in := range lists {
			_, err := f.list(t.Context(), in.path, in.filter, next, 1)
			if in == of {
				require.NoError(t, err)
				continue
			}
			requireReason(t, err, codes.InvalidArgument, invalidToken)
			query := url.Values{"pageToken": {next}}
			if in.filter != "" {
				query.Set("filter", in.filter)
			}
			told := f.requireRest(t, "GET", in.path+"?"+query.Encode(), "", 400, invalidToken)
			require.Contains(t, violations(told), "page_token")
		}
		// One that was changed on its way: another place in the same list.
		content, err := base64.RawURLEncoding.DecodeString(next)
		require.NoError(t, err)
		forged := strings.Replace(string(content), `{"n":"`, `{"n":"1`, 1)
		require.NotEqual(t, string(content), forged)
		_, err = f.list(t.Context(), of.path, of.filter, base64.RawURLEncoding.EncodeToString([]byte(forged)), 1)
		requireReason(t, err, codes.InvalidArgument, invalidToken)
	}
}

func TestAllPagesTogetherAreTheList(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1", "v2", "v3", "v4", "v5")
	for _, size := range []int32{1, 2, 5, 100} {
		var names []string
		for next, pages := "", 0; pages == 0 || next != ""; pages++ {
			page := ok(t, f, "GET", fmt.Sprintf("/v1/runtimes/prod/versions?pageSize=%d&pageToken=%s", size, next), "", new(adminv1.ListVersionsResponse))
			require.LessOrEqual(t, len(page.GetVersions()), int(size))
			for _, version := range page.GetVersions() {
				names = append(names, strings.TrimPrefix(version.GetName(), "runtimes/prod/versions/"))
			}
			next = page.GetNextPageToken()
		}
		require.Equal(t, []string{"v5", "v4", "v3", "v2", "v1"}, names)
	}
}

func TestAFilterThatCannotBeReadSaysWhatCan(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	const versions, activities = "/v1/runtimes/prod/versions", "/v1/runtimes/prod/activities"
	for _, c := range []struct{ path, filter, field, says string }{
		{"/v1/runtimes", "running = true", "running", "there are name"},
		{versions, "colour = red", "colour", "name, running, published, digest"},
		{activities, "actor = ada", "actor", "version, action"},
		{versions, "name", "", "cannot be read"},
		{versions, "name = v1 OR name = v2", "", "joined by AND"},
		{versions, `name = "v1`, "", "cannot be read"},
		{versions, "name != v1", "name", "only ="},
		{versions, "name > v1", "name", "only ="},
		{versions, "name = v1 AND name = v2", "name", "twice"},
		{versions, "running = yes", "running", "true or false"},
		{versions, "published = 1", "published", "true or false"},
	} {
		t.Run(c.path+" "+c.filter, func(t *testing.T) {
			_, err := f.list(t.Context(), c.path, c.filter, "", 0)
			answer := requireReason(t, err, codes.InvalidArgument, invalidFilter)
			require.Equal(t, c.field, infoOf(t, answer).GetMetadata()["field"])
			require.Contains(t, violations(answer)["filter"], c.says)
			f.requireRest(t, "GET", c.path+"?filter="+url.QueryEscape(c.filter), "", 400, invalidFilter)
		})
	}
}

func TestARequestThatIsWrongNamesTheField(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 API_KEY API_SECRET @CERT")
	long := strings.Repeat("ä", engine.MaxText+1)
	config := func(request *adminv1.UpdateConfigRequest) func(context.Context) error {
		request.Name = v1 + "/config"
		return func(ctx context.Context) error { _, err := f.versions.UpdateConfig(ctx, request); return err }
	}
	get := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f.versions.GetVersion(ctx, &adminv1.GetVersionRequest{Name: name})
			return err
		}
	}
	for name, c := range map[string]struct {
		call        func(ctx context.Context) error
		field, says string
		method      string // over REST, where it can be asked for there
		path, body  string
	}{
		"a name without a version":   {call: get("runtimes/prod"), field: "name", says: "runtimes/{runtime}/versions/{version}"},
		"a name that leads out":      {call: get("runtimes/../versions/v1"), field: "name", says: "no such name"},
		"a name with a slash behind": {call: get(v1 + "/"), field: "name", says: "no such name"},
		"no name":                    {call: get(""), field: "name", says: "required"},
		"an unknown key, near a known one": {
			call: config(&adminv1.UpdateConfigRequest{Variables: map[string]string{"API_KY": "x"}}), field: "variables.API_KY", says: `did you mean "API_KEY"`,
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"variables": {"API_KY": "x"}}`,
		},
		"an unknown file": {
			call: config(&adminv1.UpdateConfigRequest{Files: map[string][]byte{"PASSWORDS": []byte("x")}}), field: "files.PASSWORDS", says: "it declares API_KEY",
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"files": {"PASSWORDS": "eA=="}}`,
		},
		"a variable for a file": {
			call: config(&adminv1.UpdateConfigRequest{Variables: map[string]string{"CERT": "x"}}), field: "variables.CERT", says: "among the files",
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"variables": {"CERT": "x"}}`,
		},
		"a zero byte in a variable": {
			call: config(&adminv1.UpdateConfigRequest{Variables: map[string]string{"API_KEY": "a\x00b"}}), field: "variables.API_KEY", says: "zero byte",
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"variables": {"API_KEY": "a\u0000b"}}`,
		},
		"a key set and unset": {
			call: config(&adminv1.UpdateConfigRequest{Variables: map[string]string{"API_KEY": "x"}, Unset: []string{"API_KEY"}}), field: "unset", says: "at once",
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"variables": {"API_KEY": "x"}, "unset": ["API_KEY"]}`,
		},
		"a body of the wrong type": {
			field: "variables", says: "want an object",
			method: "PATCH", path: "/v1/" + v1 + "/config", body: `{"variables": "API_KEY=x"}`,
		},
		"a body that is no JSON": {
			field: "body", says: "no JSON",
			method: "POST", path: "/v1/" + v1 + ":start", body: `comment=x`,
		},
		"a comment that is too long": {
			call: func(ctx context.Context) error {
				_, err := f.versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: v1, Comment: long})
				return err
			}, field: "comment", says: "at most 1000",
			method: "POST", path: "/v1/" + v1 + ":start", body: `{"comment": "` + long + `"}`,
		},
		"a description that is too long": {
			call: func(ctx context.Context) error {
				_, err := f.runtimes.UpdateRuntime(ctx, &adminv1.UpdateRuntimeRequest{Runtime: &adminv1.Runtime{Name: "runtimes/prod", Description: long}})
				return err
			}, field: "runtime.description", says: "at most 1000",
			method: "PATCH", path: "/v1/runtimes/prod", body: `{"description": "` + long + `"}`,
		},
		"a mask of what is not there": {
			call: func(ctx context.Context) error {
				_, err := f.runtimes.UpdateRuntime(ctx, &adminv1.UpdateRuntimeRequest{
					Runtime: &adminv1.Runtime{Name: "runtimes/prod"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"colour"}},
				})
				return err
			}, field: "update_mask", says: "description",
			method: "PATCH", path: "/v1/runtimes/prod?updateMask=colour", body: `{}`,
		},
		"a runtime named twice, otherwise": {
			call: func(ctx context.Context) error {
				_, err := f.runtimes.CreateRuntime(ctx, &adminv1.CreateRuntimeRequest{RuntimeId: "a", Runtime: &adminv1.Runtime{Name: "runtimes/b"}})
				return err
			}, field: "runtime_id", says: "runtimes/b",
			method: "POST", path: "/v1/runtimes?runtimeId=a", body: `{"name": "runtimes/b"}`,
		},
		"a name of the platform": {
			call: func(ctx context.Context) error {
				_, err := f.runtimes.CreateRuntime(ctx, &adminv1.CreateRuntimeRequest{RuntimeId: "kube-system"})
				return err
			}, field: "runtime_id", says: "belongs to the platform",
			method: "POST", path: "/v1/runtimes?runtimeId=kube-system", body: `{}`,
		},
		"a removal without the name once more": {
			call: func(ctx context.Context) error {
				_, err := f.runtimes.DeleteRuntime(ctx, &adminv1.DeleteRuntimeRequest{Name: "runtimes/prod"})
				return err
			}, field: "confirm", says: "repeat its name",
			method: "DELETE", path: "/v1/runtimes/prod",
		},
		"a page of less than nothing": {
			call: func(ctx context.Context) error {
				_, err := f.list(ctx, "/v1/runtimes/prod/activities", "", "", -1)
				return err
			},
			field: "page_size", says: "0 (for 50) or more",
			method: "GET", path: "/v1/runtimes/prod/activities?pageSize=-1",
		},
		"a call of no rpc": {
			call: func(ctx context.Context) error {
				_, err := f.versions.CallVersion(ctx, &adminv1.CallVersionRequest{Name: v1})
				return err
			}, field: "rpc", says: "name the rpc",
			method: "POST", path: "/v1/" + v1 + ":call", body: `{}`,
		},
		"a call that ends before it begins": {
			call: func(ctx context.Context) error {
				_, err := f.versions.CallVersion(ctx, &adminv1.CallVersionRequest{Name: v1, Rpc: "Do", Timeout: durationpb.New(-1)})
				return err
			}, field: "timeout", says: "negative",
			method: "POST", path: "/v1/" + v1 + ":call", body: `{"rpc": "Do", "timeout": "-1s"}`,
		},
		"a level that is none": {
			call: func(ctx context.Context) error {
				_, err := f.versions.SearchLogs(ctx, &adminv1.SearchLogsRequest{Parent: v1, MinLevel: 77})
				return err
			}, field: "min_level", says: "DEBUG, INFO, WARN or ERROR",
		},
		"a level that is no word": {
			field: "minLevel", says: "DEBUG, INFO, WARN, ERROR",
			method: "GET", path: "/v1/" + v1 + "/logs?minLevel=LOUD",
		},
		"a watch from before the beginning": {
			call: func(ctx context.Context) error {
				stream, err := f.runtimes.WatchRuntime(ctx, &adminv1.WatchRuntimeRequest{Name: "runtimes/prod", AfterRevision: -1})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			}, field: "after_revision", says: "negative",
			method: "GET", path: "/v1/runtimes/prod:watch?afterRevision=-1",
		},
		"a tail with too much before it": {
			call: func(ctx context.Context) error {
				stream, err := f.versions.TailLogs(ctx, &adminv1.TailLogsRequest{Parent: v1, Last: 1001})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			}, field: "last", says: "0 to 1000",
			method: "GET", path: "/v1/" + v1 + "/logs:tail?last=1001",
		},
		"an upload to nowhere": {
			call: func(ctx context.Context) error {
				stream, err := f.versions.UploadVersion(ctx)
				if err == nil {
					_, err = stream.CloseAndRecv()
				}
				return err
			}, field: "parent", says: "in the first message",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.call != nil {
				answer := requireReason(t, c.call(t.Context()), codes.InvalidArgument, invalidRequest)
				require.Contains(t, violations(answer)[c.field], c.says, "%v", answer)
				requireSentence(t, answer.Message())
			}
			if c.method != "" {
				told := f.requireRest(t, c.method, c.path, c.body, http.StatusBadRequest, invalidRequest)
				require.Contains(t, violations(told)[c.field], c.says, "%v", told)
			}
		})
	}
}

func TestAConfigurationFileMayHaveAMebibyteAndNoMore(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 API_KEY @CERT")
	config := ok(t, f, "PATCH", "/v1/"+v1+"/config", `{"files": {"CERT": "`+base64.StdEncoding.EncodeToString(make([]byte, engine.MaxFile))+`"}}`, new(adminv1.Config))
	require.True(t, config.GetKeys()[1].GetSet())
	_, err := f.versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{
		Name: v1 + "/config", Files: map[string][]byte{"CERT": make([]byte, engine.MaxFile)},
		Variables: map[string]string{"API_KEY": strings.Repeat("x", engine.MaxVariable)},
	})
	require.NoError(t, err)

	_, err = f.versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{Name: v1 + "/config", Files: map[string][]byte{"CERT": make([]byte, engine.MaxFile+1)}})
	answer := requireReason(t, err, codes.ResourceExhausted, tooLarge)
	require.Equal(t, "1048576", infoOf(t, answer).GetMetadata()["limit_bytes"])
	f.requireRest(t, "PATCH", "/v1/"+v1+"/config",
		`{"files": {"CERT": "`+base64.StdEncoding.EncodeToString(make([]byte, engine.MaxFile+1))+`"}}`, http.StatusRequestEntityTooLarge, tooLarge)

	_, err = f.versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{Name: v1 + "/config", Files: map[string][]byte{"CERT": make([]byte, grpcapi.MaxRequest)}})
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
}

func TestARevisionThatIsNotTheCurrentOneIsAborted(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 API_KEY")
	version, err := f.versions.GetVersion(t.Context(), &adminv1.GetVersionRequest{Name: v1})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		call         func(ctx context.Context, revision int64) error
		method, path string
		body         string
	}{
		"start": {func(ctx context.Context, revision int64) error {
			_, err := f.versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: v1, Revision: revision})
			return err
		}, "POST", "/v1/" + v1 + ":start", `{"revision": %d}`},
		"stop": {func(ctx context.Context, revision int64) error {
			_, err := f.versions.StopVersion(ctx, &adminv1.StopVersionRequest{Name: v1, Revision: revision})
			return err
		}, "POST", "/v1/" + v1 + ":stop", `{"revision": "%d"}`},
		"publish": {func(ctx context.Context, revision int64) error {
			_, err := f.versions.PublishVersion(ctx, &adminv1.PublishVersionRequest{Name: v1, Revision: revision})
			return err
		}, "POST", "/v1/" + v1 + ":publish", `{"revision": %d}`},
		"unpublish": {func(ctx context.Context, revision int64) error {
			_, err := f.versions.UnpublishVersion(ctx, &adminv1.UnpublishVersionRequest{Name: v1, Revision: revision})
			return err
		}, "POST", "/v1/" + v1 + ":unpublish", `{"revision": %d}`},
		"configure": {func(ctx context.Context, revision int64) error {
			_, err := f.versions.UpdateConfig(ctx, &adminv1.UpdateConfigRequest{Name: v1 + "/config", Revision: revision, Variables: map[string]string{"API_KEY": "x"}})
			return err
		}, "PATCH", "/v1/" + v1 + "/config", `{"revision": %d, "variables": {"API_KEY": "x"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, wrong := range []int64{version.GetRevision() - 1, version.GetRevision() + 1} {
				answer := requireReason(t, c.call(t.Context(), wrong), codes.Aborted, conflict)
				require.Equal(t, fmt.Sprint(version.GetRevision()), infoOf(t, answer).GetMetadata()["revision"])
				f.requireRest(t, c.method, c.path, fmt.Sprintf(c.body, wrong), http.StatusConflict, conflict)
			}
		})
	}
	_, err = f.versions.UpdateConfig(t.Context(), &adminv1.UpdateConfigRequest{
		Name: v1 + "/config", Revision: version.GetRevision(), Variables: map[string]string{"API_KEY": "x"},
	})
	require.NoError(t, err)
}

func TestAnUpdateThatSaysNothingChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod")
	set := func(body string) string {
		code, _, answer := f.rest(t, "PATCH", "/v1/runtimes/prod", body, token)
		require.Equal(t, http.StatusOK, code, answer)
		runtime, err := f.runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/prod"})
		require.NoError(t, err)
		return runtime.GetDescription()
	}
	require.Equal(t, "ours", set(`{"description": "ours"}`))
	for _, body := range []string{"{}", "", `{"name": "runtimes/prod"}`} {
		require.Equal(t, "ours", set(body), body)
	}
	_, err := f.runtimes.UpdateRuntime(t.Context(), &adminv1.UpdateRuntimeRequest{Runtime: &adminv1.Runtime{Name: "runtimes/prod"}})
	require.NoError(t, err)
	require.Equal(t, "ours", set("{}"))
	require.Empty(t, set(`{"description": ""}`), "said, it is unset")
}
