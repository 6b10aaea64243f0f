package e2e_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/kit/ports"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// greet asks the address once for a greeting.
func greet(ctx context.Context, address, body string) (harness.Answer, error) {
	return harness.PostTo(ctx, address+"/greeting.Greeting/Greet", "application/json", body)
}

func TestAStoppedEngineComesBackAsItWas(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t, "--runtime-grpc-port="+ownPort(t), "--runtime-http-port="+ownPort(t))
	before := engine.Published(t, "steady", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	engine.MustUpload(t, "steady", harness.Greeting(t, "greeting-v2"))
	answer, err := greet(t.Context(), before.GetHttpAddress(), `{"name":"Ada"}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.Status, answer.Body)

	for name, stop := range map[string]func(){"stopped": engine.Stop, "killed": engine.Kill} {
		t.Run(name, func(t *testing.T) {
			stop()
			engine.Start()
			engine.WaitState(t, "steady", "greeting-v1", adminv1.Version_PUBLISHED)
			engine.WaitState(t, "steady", "greeting-v2", adminv1.Version_STOPPED)
			after, err := engine.Runtimes.GetRuntime(t.Context(), &adminv1.GetRuntimeRequest{Name: "runtimes/steady"})
			require.NoError(t, err)
			require.Equal(t, before.GetHttpAddress(), after.GetHttpAddress())
			require.Equal(t, before.GetGrpcAddress(), after.GetGrpcAddress())
			answer, err := greet(t.Context(), after.GetHttpAddress(), `{"name":"Ada"}`)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, answer.Status, answer.Body)
			require.Contains(t, answer.Body, "Hello Ada")
		})
	}
}

// ownPort is a free port that no other test picks, so that nobody takes it while the engine is away.
func ownPort(t *testing.T) string {
	t.Helper()
	for {
		port := 10000 + rand.IntN(10000)
		if ports.Free(ports.Loopback, port) {
			return strconv.Itoa(port)
		}
	}
}

func TestAVersionStoppedUnderLoadKeepsWhatIsNotAnswered(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	engine.Runtime(t, "busy")
	engine.MustUpload(t, "busy", harness.Greeting(t, "greeting-v1", "timeout: 30s", "timeout: 120s")) // no caller gives up by himself
	engine.Set(t, "busy", "greeting-v1", map[string]string{"GREETING": "Hello"})
	started := engine.MustStart(t, "busy", "greeting-v1")

	// More than one node can answer before the stop has to give up waiting: 0.4 s each, one after the other.
	const callers = 150
	var answered, refused, unanswered atomic.Int64
	var wait sync.WaitGroup
	conn, err := grpc.NewClient(started.GetGrpcAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	client := harness.NewClient(conn)
	for range callers {
		wait.Go(func() {
			_, err := client.Call(t.Context(), "greeting.Greeting/Greet", `{"name":"Ada","sleepMs":400}`)
			switch {
			case err == nil:
				answered.Add(1)
			case status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "stopping"):
				refused.Add(1)
			default:
				unanswered.Add(1)
			}
		})
	}
	harness.Eventually(t, "the first callers are answered", func() (bool, string) { return answered.Load() >= 3, "" })
	_, err = engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: harness.Name("busy", "greeting-v1")})
	require.NoError(t, err)
	stopped := engine.WaitState(t, "busy", "greeting-v1", adminv1.Version_STOPPED)
	wait.Wait()
	t.Logf("answered %d, refused %d, unanswered %d, stored %d", answered.Load(), refused.Load(), unanswered.Load(), stopped.GetStoredMessages())
	accepted := callers - refused.Load()
	require.Equal(t, accepted, answered.Load()+stopped.GetStoredMessages())
	require.Equal(t, unanswered.Load(), stopped.GetStoredMessages())

	engine.MustStart(t, "busy", "greeting-v1")
	harness.Eventually(t, "the streams run empty", func() (bool, string) {
		_, err := engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: harness.Name("busy", "greeting-v1")})
		require.NoError(t, err)
		stopped := engine.WaitState(t, "busy", "greeting-v1", adminv1.Version_STOPPED)
		if stopped.GetStoredMessages() == 0 {
			return true, ""
		}
		engine.MustStart(t, "busy", "greeting-v1")
		return false, stopped.String()
	})
}

func TestNodeCodeThatBehavesBadlyIsShownAndAFixedVersionRecovers(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	runtime := engine.Published(t, "sick", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	node := func(version string) *adminv1.Node {
		list, err := engine.Versions.ListNodes(t.Context(), &adminv1.ListNodesRequest{Parent: harness.Name("sick", version)})
		require.NoError(t, err)
		for _, node := range list.GetNodes() {
			if node.GetName() == "greet" {
				return node
			}
		}
		return nil
	}
	ill := func(t *testing.T, version, says, line string, manifest ...string) {
		engine.MustUpload(t, "sick", harness.Greeting(t, version, manifest...))
		_, err := engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: harness.Name("sick", version)})
		require.NoError(t, err)
		harness.Eventually(t, version+" shows what is wrong", func() (bool, string) {
			found, err := engine.Get(t.Context(), "sick", version)
			require.NoError(t, err)
			reason := found.GetStateReason()
			return found.GetState() == adminv1.Version_ERROR && strings.Contains(reason, "greet") &&
				strings.Contains(reason, says) && strings.Contains(reason, line), found.String()
		})
		harness.Eventually(t, "its node shows it too", func() (bool, string) {
			found := node(version)
			return found.GetState() == adminv1.Node_FAILED && strings.Contains(found.GetReason(), says) &&
				strings.Contains(found.GetLastLogLine(), line), found.String()
		})
		_, err = engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: harness.Name("sick", version)})
		require.NoError(t, err)
		engine.WaitState(t, "sick", version, adminv1.Version_STOPPED)
	}
	t.Run("it crashes at start", func(t *testing.T) {
		ill(t, "crashing", "code 3", "cannot load the model", "TROUBLE: none", "TROUBLE: crash")
	})
	t.Run("it hangs at start", func(t *testing.T) {
		ill(t, "hanging", "not ready", "loading for ever", "TROUBLE: none", "TROUBLE: hang", "startTimeout: 60s", "startTimeout: 2s")
	})
	t.Run("it crashes at the third request", func(t *testing.T) {
		engine.MustUpload(t, "sick", harness.Greeting(t, "third", "TROUBLE: none", "TROUBLE: third"))
		engine.MustStart(t, "sick", "third")
		engine.MustPublish(t, "sick", "third")
		for range 3 {
			answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada"}`)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, answer.Status, answer.Body) // by the process that is started again
		}
		harness.Eventually(t, "the node tells that it was started again", func() (bool, string) {
			found := node("third")
			return len(found.GetReplicas()) == 1 && found.GetReplicas()[0].GetRestarts() > 0, found.String()
		})
		harness.Eventually(t, "the log tells why", func() (bool, string) {
			found, err := engine.Versions.SearchLogs(t.Context(), &adminv1.SearchLogsRequest{
				Parent: harness.Name("sick", "third"), Text: "third request is too much", Nodes: []string{"greet"}})
			require.NoError(t, err)
			return len(found.GetEntries()) > 0, found.String()
		})
	})
	t.Run("a fixed one is published over it", func(t *testing.T) {
		engine.MustUpload(t, "sick", harness.Greeting(t, "fixed", `SUFFIX: ""`, `SUFFIX: " fixed"`))
		engine.MustStart(t, "sick", "fixed")
		engine.MustPublish(t, "sick", "fixed")
		harness.Eventually(t, "connections from before have moved", func() (bool, string) {
			answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada"}`)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, answer.Status, answer.Body)
			return strings.Contains(answer.Body, "Hello fixed Ada"), answer.Body
		})
		for range 5 {
			answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada"}`)
			require.NoError(t, err)
			require.Contains(t, answer.Body, "Hello fixed Ada")
		}
	})
}

func TestAHandlerThatRunsTooLongIsShownAndNotRepeated(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	runtime := engine.Published(t, "slow", harness.Greeting(t, "greeting-v1", "timeout: 30s", "timeout: 1s"), "greeting-v1")
	answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada","sleepMs":15000}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, answer.Status, answer.Body)
	harness.Eventually(t, "the node warns", func() (bool, string) {
		list, err := engine.Versions.ListNodes(t.Context(), &adminv1.ListNodesRequest{Parent: harness.Name("slow", "greeting-v1")})
		require.NoError(t, err)
		for _, node := range list.GetNodes() {
			for _, warning := range node.GetWarnings() {
				if node.GetName() == "greet" && strings.Contains(warning, answer.RequestID) {
					return true, ""
				}
			}
		}
		return false, list.String()
	})
	// The next one waits behind it; when that is answered, the slow one has run to its end, once.
	harness.Eventually(t, "the node answers again", func() (bool, string) {
		answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Bob"}`)
		require.NoError(t, err)
		return answer.Status == http.StatusOK, answer.Body
	})
	found, err := engine.Versions.SearchLogs(t.Context(), &adminv1.SearchLogsRequest{
		Parent: harness.Name("slow", "greeting-v1"), Text: "greeting Ada", PageSize: 10})
	require.NoError(t, err)
	require.Len(t, found.GetEntries(), 1)
}

func TestAConfigurationChangeRefusesNoRequest(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	runtime := engine.Published(t, "changing", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	var calls, changed atomic.Int64
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				answer, err := greet(context.WithoutCancel(ctx), runtime.GetHttpAddress(), `{"name":"Ada"}`)
				if err != nil || answer.Status != http.StatusOK {
					t.Errorf("a call failed: %v %v", err, answer)
					return
				}
				calls.Add(1)
				if strings.Contains(answer.Body, "Welcome Ada") {
					changed.Add(1)
				}
			}
		})
	}
	harness.Eventually(t, "calls are answered", func() (bool, string) { return calls.Load() > 10, "" })
	engine.Set(t, "changing", "greeting-v1", map[string]string{"GREETING": "Welcome"})
	harness.Eventually(t, "the new value is used", func() (bool, string) { return t.Failed() || changed.Load() > 10, "" })
	engine.WaitState(t, "changing", "greeting-v1", adminv1.Version_PUBLISHED)
	cancel()
	wait.Wait()
}
