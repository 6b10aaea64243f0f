package grpcapi_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// What is done over REST is seen over gRPC, to the last field.
func TestTheWholeLifeOfAVersionOverREST(t *testing.T) {
	f := newFixture(t)
	made := ok(t, f, "POST", "/v1/runtimes?runtimeId=prod&comment=for+sale", `{"description": "for real"}`, new(adminv1.Runtime))
	require.Equal(t, "runtimes/prod", made.GetName())
	uploaded := ok(t, f, "POST", "/v1/runtimes/prod/versions?comment=first", "v1 API_KEY @CERT", new(adminv1.Version))
	require.Equal(t, v1, uploaded.GetName())
	require.Equal(t, adminv1.Version_STOPPED, uploaded.GetState())
	require.Equal(t, "digest-v1", uploaded.GetDigest())
	require.Equal(t, "admin", uploaded.GetCreator())
	require.Equal(t, []string{"API_KEY", "CERT"}, uploaded.GetMissingConfig())

	config := ok(t, f, "PATCH", "/v1/"+v1+"/config", `{"variables": {"API_KEY": "s3cret"}, "files": {"CERT": "czNjcmV0"}}`, new(adminv1.Config))
	require.Len(t, config.GetKeys(), 2)
	for i, kind := range []adminv1.Config_Key_Kind{adminv1.Config_Key_VARIABLE, adminv1.Config_Key_FILE} {
		require.Equal(t, kind, config.GetKeys()[i].GetKind())
		require.True(t, config.GetKeys()[i].GetSet())
		require.Equal(t, "admin", config.GetKeys()[i].GetUpdater())
	}
	_, _, text := f.rest(t, "GET", "/v1/"+v1+"/config", "", token)
	require.NotContains(t, text, "s3cret", "values are never told")
	require.NotContains(t, text, "czNjcmV0")

	ok(t, f, "POST", "/v1/"+v1+":start", `{"comment": "go"}`, new(adminv1.Version))
	f.becomes(t, v1, adminv1.Version_STARTED)
	require.Equal(t, map[string]string{"API_KEY": "s3cret"}, f.world.Told().Variables)
	require.Equal(t, map[string][]byte{"CERT": []byte("s3cret")}, f.world.Told().Files)
	nodes := ok(t, f, "GET", "/v1/"+v1+"/nodes", "", new(adminv1.ListNodesResponse))
	require.Equal(t, "entrypoint", nodes.GetNodes()[0].GetName())
	require.Nil(t, nodes.GetNodes()[0].GetOldest(), "none waits")
	f.world.Nodes(engine.Node{
		Name: engine.Entrypoint, Load: engine.Load{Waiting: 12, Oldest: 1500 * time.Millisecond, Expired: 1, Refused: 310},
		Workflows: []engine.WorkflowLoad{
			{Workflow: "w", Load: engine.Load{Waiting: 12, Oldest: 1500 * time.Millisecond, Expired: 41, Refused: 310, Unanswered: 5}},
			{Workflow: "idle", Load: engine.Load{Expired: 2}},
		},
	})
	nodes = ok(t, f, "GET", "/v1/"+v1+"/nodes", "", new(adminv1.ListNodesResponse))
	require.True(t, proto.Equal(&adminv1.Node{
		Name: "entrypoint", State: adminv1.Node_UNKNOWN, Waiting: 12, Oldest: durationpb.New(1500 * time.Millisecond), Expired: 1, Refused: 310,
		Workflows: []*adminv1.WorkflowLoad{
			{Workflow: "w", Waiting: 12, Oldest: durationpb.New(1500 * time.Millisecond), Expired: 41, Refused: 310, Unanswered: 5},
			{Workflow: "idle", Expired: 2},
		},
	}, nodes.GetNodes()[0]), nodes.String())

	ok(t, f, "POST", "/v1/"+v1+":publish", "", new(adminv1.Version))
	f.becomes(t, v1, adminv1.Version_PUBLISHED)
	var runtime, same *adminv1.Runtime
	// What the manager has confirmed may be written between the two.
	for deadline := time.Now().Add(patience); ; {
		var err error
		runtime = ok(t, f, "GET", "/v1/runtimes/prod", "", new(adminv1.Runtime))
		same, err = f.runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/prod"})
		require.NoError(t, err)
		if same.GetRevision() == runtime.GetRevision() || time.Now().After(deadline) {
			break
		}
	}
	require.Equal(t, v1, runtime.GetPublishedVersion())
	require.Equal(t, adminv1.Runtime_READY, runtime.GetState())
	require.Equal(t, []string{"host:9000", "http://host:8080"}, []string{runtime.GetGrpcAddress(), runtime.GetHttpAddress()})
	same.ObserveTime, runtime.ObserveTime = nil, nil
	require.True(t, proto.Equal(same, runtime), "over gRPC %v\nover REST %v", same, runtime)

	f.world.Answer(func(call engine.Call) (engine.Answer, error) {
		return engine.Answer{Response: call.Request, RequestID: call.Timeout.String() + call.RPC}, nil
	})
	said := ok(t, f, "POST", "/v1/"+v1+":call", `{"rpc": "Echo", "timeout": "2s", "request": {"text": ["a", 1, null]}}`, new(adminv1.CallVersionResponse))
	require.Equal(t, map[string]any{"text": []any{"a", 1.0, nil}}, said.GetResponse().AsInterface())
	require.Equal(t, (2*time.Second).String()+"Echo", said.GetRequestId())

	ok(t, f, "POST", "/v1/"+v1+":unpublish", "", new(adminv1.Version))
	ok(t, f, "POST", "/v1/"+v1+":stop", `{"discard": true}`, new(adminv1.Version))
	f.becomes(t, v1, adminv1.Version_STOPPED)
	require.True(t, f.world.Told().Discard)

	f.world.Document("v1", "# Prices")
	documented := ok(t, f, "GET", "/v1/"+v1+"/documentation", "", new(adminv1.Documentation))
	require.Equal(t, "# Prices", documented.GetMarkdown())
	require.Equal(t, v1+"/documentation", documented.GetName())

	ok(t, f, "DELETE", "/v1/"+v1+"?comment=old", "", new(emptypb.Empty))
	eventually(t, func() bool {
		code, _, _ := f.rest(t, "GET", "/v1/"+v1, "", token)
		return code == 404
	})
	activities := ok(t, f, "GET", "/v1/runtimes/prod/activities", "", new(adminv1.ListActivitiesResponse))
	var actions []string
	for _, activity := range activities.GetActivities() {
		require.Equal(t, "admin", activity.GetActor())
		require.Equal(t, "runtimes/prod", activity.GetRuntime())
		actions = append(actions, activity.GetAction())
	}
	require.Equal(t, []string{
		"version.delete", "version.stop", "version.unpublish", "version.publish", "version.start", "config.update", "version.create", "runtime.create",
	}, actions)
	require.Equal(t, "API_KEY,CERT", activities.GetActivities()[5].GetDetails()["keys"])
	require.Equal(t, "old", activities.GetActivities()[0].GetComment())
	require.Equal(t, v1, activities.GetActivities()[0].GetVersion())

	ok(t, f, "DELETE", "/v1/runtimes/prod?confirm=prod", "", new(emptypb.Empty))
	eventually(t, func() bool {
		_, err := f.runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/prod"})
		return err != nil
	})
}

func TestNobodyWithoutTheTokenLearnsAnything(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	for _, given := range []string{"", "x", "open-sesam", "open-sesame "} {
		runtimes, versions := f.as(t, given)
		_, err := runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/other"})
		if given == "open-sesame " { // blanks around it are nobody's secret
			requireReason(t, err, codes.NotFound, adminv1.ErrorReason_ERROR_REASON_RUNTIME_NOT_FOUND)
			continue
		}
		requireReason(t, err, codes.Unauthenticated, adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)
		stream, err := versions.UploadVersion(t.Context())
		require.NoError(t, err)
		_, err = stream.CloseAndRecv()
		requireReason(t, err, codes.Unauthenticated, adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)
		watch, err := runtimes.WatchRuntime(t.Context(), &adminv1.WatchRuntimeRequest{Name: "runtimes/prod"})
		require.NoError(t, err)
		_, err = watch.Recv()
		requireReason(t, err, codes.Unauthenticated, adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)
		for _, path := range []string{"/v1/runtimes/other", "/v1/runtimes/prod:watch", "/v1/nothing", "/openapi.json"} {
			code, _, text := f.rest(t, "GET", path, "", given)
			require.Equal(t, 401, code)
			require.NotContains(t, text, "prod")
		}
	}
}
