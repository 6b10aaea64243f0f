package boot

import (
	"context"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// get answers what a probe or Prometheus is told.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(content)
}

// metricsURL is where the program says that it serves them.
func (p *program) metricsURL(t *testing.T) string {
	t.Helper()
	for _, line := range p.lines(t) {
		if line["message"] == "serving" && line["protocol"] == "metrics" {
			return "http://" + line["address"].(string)
		}
	}
	require.Fail(t, "it does not say where it serves metrics")
	return ""
}

func TestProbesFollowTheProgramAndMetricsAreThere(t *testing.T) {
	p := newProgram()
	code := p.run(func(ctx context.Context, process *Process, _ config) error {
		url := p.metricsURL(t)
		ready := func() int { code, _ := get(t, url+"/readyz"); return code }
		require.Equal(t, http.StatusServiceUnavailable, ready())
		require.NoError(t, process.Ready())
		require.Equal(t, http.StatusOK, ready())

		counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total"})
		process.Telemetry.Metrics.MustRegister(counter)
		counter.Inc()
		_, metrics := get(t, url+"/metrics")
		require.Contains(t, metrics, "own_total 1\n")
		require.Contains(t, metrics, "go_goroutines ")

		process.OnStop("part", time.Minute, func(context.Context) error {
			require.Equal(t, http.StatusServiceUnavailable, ready(), "it stops, and is watched meanwhile")
			alive, _ := get(t, url+"/healthz")
			require.Equal(t, http.StatusOK, alive)
			return nil
		})
		p.signals <- syscall.SIGTERM
		<-ctx.Done()
		require.Equal(t, http.StatusServiceUnavailable, ready())
		return nil
	}, "--metrics-addr", "127.0.0.1:0")
	require.Equal(t, ExitOK, code)
	_, err := http.Get(p.metricsURL(t) + "/healthz") //nolint:bodyclose // there is none
	require.Error(t, err)
}

func TestWithoutAnAddressNothingIsServedOrTraced(t *testing.T) {
	p := newProgram()
	require.Equal(t, ExitOK, p.run(func(_ context.Context, process *Process, _ config) error {
		require.Nil(t, process.Telemetry.Metrics)
		require.Nil(t, process.Telemetry.Traces)
		return nil
	}))
	for _, line := range p.lines(t) {
		require.NotEqual(t, "serving", line["message"])
	}
}

func TestAnAddressForMetricsThatIsTakenEndsTheProgram(t *testing.T) {
	p := newProgram()
	p.run(func(context.Context, *Process, config) error {
		other := newProgram()
		require.Equal(t, ExitFailed, other.run(nil, "--metrics-addr", p.metricsURL(t)[len("http://"):]))
		require.Contains(t, other.out.String(), "listen for metrics")
		return nil
	}, "--metrics-addr", "127.0.0.1:0")
}
