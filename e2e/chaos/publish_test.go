package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// A version is published over another again and again while 32 clients call: no call may fail.
func TestPublishingOverAnotherVersionFailsNoCall(t *testing.T) {
	engine := harness.NewEngine(t)
	runtime := engine.Published(t, "moving", harness.Greeting(t, "version-a"), "version-a")
	engine.MustUpload(t, "moving", harness.Greeting(t, "version-b"))
	engine.MustStart(t, "moving", "version-b")

	load := call(t, runtime, 32)
	end := time.Now().Add(*duration)
	var slowest time.Duration
	swaps := 0
	for time.Now().Before(end) {
		enough := load.count() + 200
		harness.Eventually(t, "calls are answered", func() (bool, string) { return load.count() >= enough, "" })
		to, from := "version-b", "version-a"
		if swaps%2 == 1 {
			to, from = from, to
		}
		asked := time.Now()
		_, err := engine.Versions.PublishVersion(t.Context(), &adminv1.PublishVersionRequest{Name: harness.Name("moving", to)})
		require.NoError(t, err)
		engine.WaitState(t, "moving", to, adminv1.Version_PUBLISHED)
		// All traffic has moved when for a while nobody who began to call was answered by the other.
		harness.Eventually(t, "all traffic has moved", func() (bool, string) {
			return time.Since(load.last(from)) > time.Second, ""
		})
		if took := load.last(from).Sub(asked); took > slowest {
			slowest = took
		}
		swaps++
	}
	answers, failed := load.stop()
	record(t, "publish_swaps", float64(swaps), "")
	record(t, "publish_calls", float64(len(answers)), "")
	record(t, "publish_failed_calls", float64(len(failed)), "0")
	record(t, "publish_all_moved_s", slowest.Seconds(), "the slowest swap")
	require.Empty(t, failed)
}
