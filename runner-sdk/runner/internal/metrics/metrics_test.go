package metrics

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// get asks the handler.
func get(h http.Handler, path string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestWhatANodeDoesIsCounted(t *testing.T) {
	n := New(config.Node{Version: "v1", Workflow: "flow", Name: "Model"})
	h := n.handler("")
	of := func(name, more string) string {
		return name + "{node=\"Model\"" + more + ",version=\"v1\",workflow=\"flow\"} "
	}

	_, before := get(h, "/metrics")
	for _, name := range []string{"kre_node_dead_letters_total", "kre_node_expired_total", "kre_node_worker_restarts_total"} {
		require.Contains(t, before, of(name, "")+"0\n", "there from the start")
	}
	require.Contains(t, before, of("kre_node_attempts_total", `,outcome="failed"`)+"0\n")
	require.NotContains(t, before, "kre_node_waiting", "nobody knows yet")
	require.NotContains(t, before, "kre_node_oldest_seconds", "nobody knows yet")

	n.Attempt(20*time.Millisecond, false)
	n.Attempt(2*time.Second, false)
	n.Attempt(500*time.Second, true)
	n.DeadLetter()
	n.Expired(3)
	n.Expired(1)
	n.Died()
	n.Waiting(9, 10*time.Second)
	n.Waiting(7, 1500*time.Millisecond)
	code, after := get(h, "/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, line := range []string{
		of("kre_node_attempts_total", `,outcome="ok"`) + "2", of("kre_node_attempts_total", `,outcome="failed"`) + "1",
		`kre_node_attempt_seconds_bucket{node="Model",version="v1",workflow="flow",le="0.03"} 1`,
		`kre_node_attempt_seconds_bucket{node="Model",version="v1",workflow="flow",le="300"} 2`,
		of("kre_node_attempt_seconds_count", "") + "3", of("kre_node_attempt_seconds_sum", "") + "502.02",
		of("kre_node_dead_letters_total", "") + "1", of("kre_node_expired_total", "") + "4",
		of("kre_node_worker_restarts_total", "") + "1",
		of("kre_node_waiting", "") + "7", of("kre_node_oldest_seconds", "") + "1.5",
	} {
		require.Contains(t, after, line+"\n")
	}
	require.Contains(t, after, "\ngo_goroutines ")
}

func TestProbesFollowTheReadyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	h := New(config.Node{}).handler(file)
	code, _ := get(h, "/healthz")
	require.Equal(t, http.StatusOK, code)
	code, _ = get(h, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, _ = get(h, "/readyz")
	require.Equal(t, http.StatusOK, code)

	code, _ = get(New(config.Node{}).handler(""), "/readyz")
	require.Equal(t, http.StatusNotFound, code, "without the file nobody knows")
}

func TestTheAddressIsServedOrNamed(t *testing.T) {
	log := logline.New(io.Discard, logline.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	for _, address := range []string{taken.Addr().String(), "127.0.0.1:65536", "127.0.0.1", "192.0.2.1:9"} {
		err := New(config.Node{}).Serve(address, "", log)
		require.ErrorContains(t, err, `KRE_METRICS_ADDR is "`+address+`": listen tcp`)
	}
	require.NoError(t, taken.Close())

	var told strings.Builder
	require.NoError(t, New(config.Node{}).Serve("127.0.0.1:0", "", logline.New(&told, logline.Options{Text: true, Level: logline.Info})))
	_, url, found := strings.Cut(told.String(), "metrics are served at ")
	require.True(t, found, told.String())
	response, err := http.Get(strings.TrimSpace(url))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
}
