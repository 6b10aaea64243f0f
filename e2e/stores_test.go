package e2e_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// An engine on stores of one's own; each store is killed once and started again.
func TestAnEngineOnOtherStoresOutlivesTheirDeath(t *testing.T) {
	t.Parallel()
	dir, kre := t.TempDir(), harness.Program(t, "kre")
	operator := filepath.Join(dir, "operator")
	nats, documents, objects := harness.NATS(t, operator), harness.NewServer(t), harness.NewServer(t)
	documents.Args = []string{kre, "store", "documents", "--addr", documents.Addr(), "--data", filepath.Join(dir, "documents")}
	objects.Args = []string{kre, "store", "objects", "--addr", objects.Addr(), "--data", filepath.Join(dir, "objects")}
	objects.Env = []string{"KRE_S3_ACCESS_KEY=access", "KRE_S3_SECRET_KEY=not-secret"}
	stores := map[string]*harness.Server{"the broker": nats, "the store of documents": documents, "the store of objects": objects}
	for _, store := range stores {
		store.Start()
	}

	engine := harness.NewEngine(t, "--nats-url=nats://"+nats.Addr(), "--nats-operator="+operator,
		"--mongo-uri=mongodb://"+documents.Addr(), "--s3-url=http://access:not-secret@"+objects.Addr())
	first := harness.Greeting(t, "greeting-v1")
	runtime := engine.Published(t, "elsewhere", first, "greeting-v1")
	answers := func(t *testing.T) {
		t.Helper()
		harness.Eventually(t, "the published version answers", func() (bool, string) {
			answer, err := greet(t.Context(), runtime.GetHttpAddress(), `{"name":"Ada"}`)
			if err != nil {
				return false, err.Error()
			}
			return answer.Status == http.StatusOK, answer.Body
		})
	}
	answers(t)
	for name, store := range stores {
		t.Run(name+" is killed", func(t *testing.T) {
			store.Kill()
			store.Start()
			answers(t)
			version := "after-" + map[*harness.Server]string{nats: "broker", documents: "documents", objects: "objects"}[store]
			file := harness.Greeting(t, version)
			harness.Eventually(t, "a version can be uploaded", func() (bool, string) {
				_, err := engine.Upload(t.Context(), "elsewhere", file)
				return err == nil || status.Code(err) == codes.AlreadyExists, status.Convert(err).Message()
			})
			name := harness.Name("elsewhere", version)
			harness.Eventually(t, "and started", func() (bool, string) {
				_, err := engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
				return err == nil, status.Convert(err).Message()
			})
			engine.WaitState(t, "elsewhere", version, adminv1.Version_STARTED)
			_, err := engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: name})
			require.NoError(t, err)
			engine.WaitState(t, "elsewhere", version, adminv1.Version_STOPPED)
		})
	}
	require.NoDirExists(t, filepath.Join(engine.Data, "documents"))
}
