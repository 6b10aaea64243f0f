package grpcapi_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/krt/plan"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/grpcapi"
)

const manifest = `krtVersion: v2
version: prices-v1
entrypoint: {proto: public_input.proto}
config: {variables: [CURRENCY, LIMIT], files: [RATES]}
workflows:
  - name: estimate
    entrypoint: Estimate
    exitpoint: model
    nodes:
      - {name: etl, image: py, src: src/etl/main.py, subscriptions: [entrypoint], env: {MODE: fast}, config: [CURRENCY], startTimeout: 90s}
      - {name: model, image: go, src: bin/model, replicas: 2, gpu: true, subscriptions: [etl, etl.repairs], resources: {limits: {memory: 1Gi}}}
`

// api is the service over a real broker.
type api struct {
	runtimev1.VersionServiceClient
	nats *server.Server
	js   jetstream.JetStream
}

func open(t *testing.T) *api {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
	b, err := broker.OpenCells(srv.ClientURL(), zap.NewNop(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Home().WaitConnected(t.Context()))

	grpcServer := rpc.NewServer(zap.NewNop(), rpc.Options{})
	grpcapi.Register(grpcServer, assets.NewService(b, assets.Options{}))
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
	client, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(client.Close)
	js, err := jetstream.New(client)
	require.NoError(t, err)
	return &api{VersionServiceClient: runtimev1.NewVersionServiceClient(conn), nats: srv, js: js}
}

func request(content string) *runtimev1.PrepareVersionRequest {
	return &runtimev1.PrepareVersionRequest{Manifest: &runtimev1.Manifest{FileName: "krt.yml", Content: []byte(content)}}
}

// assets returns the names of all streams, and of all consumers as stream/consumer.
func (a *api) assets(t *testing.T) []string {
	t.Helper()
	var names []string
	list := a.js.ListStreams(t.Context())
	for info := range list.Info() {
		names = append(names, info.Config.Name)
		s, err := a.js.Stream(t.Context(), info.Config.Name)
		require.NoError(t, err)
		consumers := s.ConsumerNames(t.Context())
		for name := range consumers.Name() {
			names = append(names, info.Config.Name+"/"+name)
		}
		require.NoError(t, consumers.Err())
	}
	require.NoError(t, list.Err())
	return names
}

func TestPreparingCreatesWhatTheConfigurationsName(t *testing.T) {
	a := open(t)
	answer, err := a.PrepareVersion(t.Context(), request(manifest))
	require.NoError(t, err)

	there := a.assets(t)
	var entrypoint plan.Entrypoint
	require.NoError(t, json.Unmarshal([]byte(answer.GetEntrypoint().GetConfig()), &entrypoint))
	require.Equal(t, "prices-v1", entrypoint.Version)
	require.Contains(t, there, entrypoint.Workflows[0].Stream)
	require.NotEmpty(t, entrypoint.Workflows[0].Consumers)
	for _, source := range entrypoint.Workflows[0].Consumers {
		require.Contains(t, there, source.Stream+"/"+source.Consumer)
	}
	for _, node := range answer.GetNodes() {
		var config plan.Node
		require.NoError(t, json.Unmarshal([]byte(node.GetConfig()), &config))
		require.Equal(t, node.GetName(), config.Node)
		require.Contains(t, there, "KV_"+config.Starts)
		require.Contains(t, there, config.DeadLetters.Stream)
		require.NotEmpty(t, config.Sources)
		for _, source := range config.Sources {
			require.Contains(t, there, source.Stream+"/"+source.Consumer)
		}
		if config.Output != nil {
			require.Contains(t, there, config.Output.Stream)
		}
	}
}

func TestPreparingAnswersWhatASupervisorNeeds(t *testing.T) {
	a := open(t)
	answer, err := a.PrepareVersion(t.Context(), request(manifest))
	require.NoError(t, err)
	require.Equal(t, "prices-v1", answer.GetVersion())
	require.Equal(t, "prices-v1", answer.GetDisplayName())
	require.Equal(t, "public_input.proto", answer.GetEntrypoint().GetProto())
	require.Len(t, answer.GetNodes(), 2)

	etl, model := answer.GetNodes()[0], answer.GetNodes()[1]
	require.Equal(t, "estimate", etl.GetWorkflow())
	require.Equal(t, "etl", etl.GetId())
	require.Equal(t, "src/etl/main.py", etl.GetSrc())
	require.Equal(t, runtimev1.Runner_RUNNER_PYTHON, etl.GetRunner())
	require.EqualValues(t, 1, etl.GetReplicas())
	require.Equal(t, 90*time.Second, etl.GetStartTimeout().AsDuration())
	require.Equal(t, map[string]string{"MODE": "fast"}, etl.GetEnv())
	require.Equal(t, []string{"CURRENCY"}, etl.GetConfigVariables())
	require.Empty(t, etl.GetConfigFiles())

	require.Equal(t, runtimev1.Runner_RUNNER_EXECUTABLE, model.GetRunner())
	require.Equal(t, "go", model.GetImage())
	require.EqualValues(t, 2, model.GetReplicas())
	require.True(t, model.GetGpu())
	require.Nil(t, model.GetStartTimeout())
	require.Equal(t, map[string]string{"memory": "1Gi"}, model.GetResources().GetLimits())
	require.Equal(t, []string{"CURRENCY", "LIMIT"}, model.GetConfigVariables())
	require.Equal(t, []string{"RATES"}, model.GetConfigFiles())
}

func TestWhatRunsANodeFollowsFromItsFileAndItsProtocol(t *testing.T) {
	for name, test := range map[string]struct {
		node string
		want runtimev1.Runner
	}{
		"a Python file":               {`src: src/model.py`, runtimev1.Runner_RUNNER_PYTHON},
		"one that says so":            {`src: src/model.py, protocol: worker`, runtimev1.Runner_RUNNER_PYTHON},
		"an executable":               {`src: bin/model`, runtimev1.Runner_RUNNER_EXECUTABLE},
		"one that speaks to a runner": {`src: bin/model, protocol: worker`, runtimev1.Runner_RUNNER_WORKER},
		"a script that speaks to one": {`src: src/model.mjs, protocol: worker`, runtimev1.Runner_RUNNER_WORKER},
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t)
			answer, err := a.PrepareVersion(t.Context(), request(strings.Replace(manifest, "src: bin/model", test.node, 1)))
			require.NoError(t, err)
			require.Equal(t, test.want, answer.GetNodes()[1].GetRunner())
		})
	}
}

func TestOverridesReachTheNodes(t *testing.T) {
	a := open(t)
	r := request(manifest)
	r.Overrides = &runtimev1.Overrides{DefaultMaxAttempts: 1, Timeout: durationpb.New(3 * time.Second)}
	answer, err := a.PrepareVersion(t.Context(), r)
	require.NoError(t, err)
	var config plan.Node
	require.NoError(t, json.Unmarshal([]byte(answer.GetNodes()[0].GetConfig()), &config))
	require.Equal(t, 1, config.MaxAttempts)
	require.EqualValues(t, 3000, config.TimeoutMs)
}

func TestAManifestOfTheFirstFormatKeepsItsNames(t *testing.T) {
	a := open(t)
	content, err := os.ReadFile("../../../krt/plan/testdata/published-v1.yml")
	require.NoError(t, err)
	answer, err := a.PrepareVersion(t.Context(), &runtimev1.PrepareVersionRequest{
		Manifest:     &runtimev1.Manifest{FileName: "kre.yaml", Content: content},
		PackageFiles: []string{"src/model_input_etl/main.py", "src/model.py", "bin/output", "src/client_metrics/main.py"},
	})
	require.NoError(t, err)
	require.NotEqual(t, answer.GetVersion(), answer.GetDisplayName())
	require.Equal(t, "model_input_etl", answer.GetNodes()[0].GetName())
	require.Equal(t, "model-input-etl", answer.GetNodes()[0].GetId())
	require.Equal(t, "src/model_input_etl/main.py", answer.GetNodes()[0].GetSrc())
	require.NotEmpty(t, answer.GetWarnings())
	require.NotZero(t, answer.GetWarnings()[0].GetLine())
	require.Empty(t, answer.GetEntrypoint().GetProto())
}

func TestAWrongManifestIsAnInvalidArgumentWithEveryField(t *testing.T) {
	a := open(t)
	wrong := strings.NewReplacer("subscriptions: [entrypoint]", "subscriptions: [entrypont]", "replicas: 2", "replicas: 0").Replace(manifest)
	_, err := a.PrepareVersion(t.Context(), request(wrong))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Len(t, status.Convert(err).Details(), 1)
	bad, ok := status.Convert(err).Details()[0].(*errdetails.BadRequest)
	require.True(t, ok)
	violations := make(map[string]string)
	for _, violation := range bad.GetFieldViolations() {
		violations[violation.GetField()] = violation.GetDescription()
	}
	require.Contains(t, violations["workflows[0].nodes[0].subscriptions[0]"], `did you mean "entrypoint"?`)
	require.Contains(t, violations, "workflows[0].nodes[1].replicas")
	require.Empty(t, a.assets(t))
}

func TestPreparingAtOnceIsTheSameAsOnce(t *testing.T) {
	a := open(t)
	_, err := a.PrepareVersion(t.Context(), request(manifest))
	require.NoError(t, err)
	once := a.assets(t)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			_, err := a.PrepareVersion(context.Background(), request(manifest))
			if err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.ElementsMatch(t, once, a.assets(t))
}

func TestRemovingLeavesOtherVersionsWhoseNamesAreAlike(t *testing.T) {
	a := open(t)
	alike := []string{"prices", "prices-v1", "prices-v1-estimate", "entry", "node", "dead", "starts-prices-v1", "kv"}
	for _, version := range alike {
		_, err := a.PrepareVersion(t.Context(), request(strings.Replace(manifest, "version: prices-v1", "version: "+version, 1)))
		require.NoError(t, err)
	}
	each := len(a.assets(t)) / len(alike)
	require.Len(t, a.assets(t), each*len(alike), "no two versions share anything")
	for left := len(alike) - 1; left >= 0; left-- {
		answer, err := a.RemoveVersion(t.Context(), &runtimev1.RemoveVersionRequest{Version: alike[left]})
		require.NoError(t, err)
		require.Positive(t, answer.GetRemovedStreams())
		require.Len(t, a.assets(t), each*left)
	}
}

func TestRemovingWhatIsNotThereSucceeds(t *testing.T) {
	a := open(t)
	answer, err := a.RemoveVersion(t.Context(), &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.NoError(t, err)
	require.Zero(t, answer.GetRemovedStreams())
	_, err = a.RemoveVersion(t.Context(), &runtimev1.RemoveVersionRequest{Version: "prices*"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestABrokerThatIsAwayIsUnavailable(t *testing.T) {
	a := open(t)
	a.nats.Shutdown()
	a.nats.WaitForShutdown()
	_, err := a.PrepareVersion(t.Context(), request(manifest))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "the broker at 127.0.0.1:")
	_, err = a.RemoveVersion(t.Context(), &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestAPreparedVersionRefusesWhatIsTooMuchAndLosesNothingForWantOfInterest(t *testing.T) {
	a := open(t)
	answer, err := a.PrepareVersion(t.Context(), request(manifest))
	require.NoError(t, err)
	var entrypoint plan.Entrypoint
	require.NoError(t, json.Unmarshal([]byte(answer.GetEntrypoint().GetConfig()), &entrypoint))
	target := entrypoint.Workflows[0]
	_, err = a.js.Publish(t.Context(), target.Subject, []byte("stored"))
	require.NoError(t, err)
	stream, err := a.js.Stream(t.Context(), target.Stream)
	require.NoError(t, err)
	info := stream.CachedInfo()
	require.EqualValues(t, 1, info.State.Msgs)
	require.Equal(t, jetstream.InterestPolicy, info.Config.Retention)
	require.Equal(t, jetstream.DiscardNew, info.Config.Discard)
	require.True(t, info.Config.AllowAtomicPublish)
	require.Equal(t, time.Minute, info.Config.Duplicates)
}
