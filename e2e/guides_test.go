package e2e_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// The guides are what a newcomer repeats: each of them goes through the whole life of a version.
func TestTheGuidesGoThroughTheLifeOfAVersion(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	first := harness.Greeting(t, "greeting-v1")
	second := harness.Greeting(t, "greeting-v2", `SUFFIX: ""`, `SUFFIX: " again"`)
	for _, guide := range []string{"life-by-curl.sh", "life-by-cli.sh", "life-by-grpc.sh"} {
		t.Run(guide, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(harness.Repository(t), "docs", "guides", guide), first, second)
			cmd.Env = engine.Env("KRE_URL="+engine.Up.HTTP, "KRE_GRPC="+engine.Up.GRPC, "KRE_TOKEN="+engine.Token,
				"KRE="+harness.Program(t, "kre"), "GRPCURL="+harness.Tool(t, "grpcurl", "KRE_TEST_GRPCURL"),
				"FIRST_NAME=greeting-v1", "SECOND_NAME=greeting-v2")
			printed, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", printed)
		})
	}
}
