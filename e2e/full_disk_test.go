//go:build linux

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/kit/smalldisk"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

func TestAFullDiskIsToldAtOnceAndShownAndItGoesOnWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	disk := smalldisk.New(t, 256)
	engine := harness.NewEngineIn(t, filepath.Join(disk, "data"))
	address := engine.Published(t, "tight", harness.Greeting(t, "greeting-v1"), "greeting-v1").GetHttpAddress()
	answers := func(body string, status int, text string) func() (bool, string) {
		return func() (bool, string) {
			answer, err := greet(t.Context(), address, body)
			return err == nil && answer.Status == status && strings.Contains(answer.Body, text), fmt.Sprint(answer, err)
		}
	}
	harness.Eventually(t, "the version answers", answers(`{"name":"Ada"}`, http.StatusOK, "Hello Ada"))

	others := smalldisk.Fill(t, disk, 0)
	large := `{"name":"` + strings.Repeat("a", 1<<20) + `"}`
	harness.Eventually(t, "calls are refused with the reason", answers(large, http.StatusServiceUnavailable, "the broker stores nothing at present, as when its disk is full"))
	status := func(want bool) func() (bool, string) {
		return func() (bool, string) {
			out, stderr, code := harness.Command(t, "", "env", "KRE_CONFIG_DIR="+filepath.Join(engine.Data, "cli"), harness.Program(t, "kre"), "status", "--once")
			return code == 0 && strings.Contains(out, "requests are refused: ") == want, out + stderr
		}
	}
	harness.Eventually(t, "kre status says so", status(true))
	require.Contains(t, engine.Output(), "the broker stores nothing: no space left on device in "+disk)

	require.NoError(t, os.Remove(others))
	harness.Eventually(t, "calls are answered again", answers(large, http.StatusOK, "Hello aaa"))
	harness.Eventually(t, "kre status says nothing any more", status(false))
	engine.WaitState(t, "tight", "greeting-v1", adminv1.Version_PUBLISHED)
}
