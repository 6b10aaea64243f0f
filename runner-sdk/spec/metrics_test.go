package spec_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/ports"
)

// figures are what is served at an address now, by name and labels.
func figures(t *testing.T, address string) map[string]string {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, http.StatusOK, response.StatusCode)
	all := make(map[string]string)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), "} ")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		all[name+"}"] = value
	}
	return all
}

func TestRunnerTellsPrometheusWhatItDoes(t *testing.T) {
	eachWorker(t, func(t *testing.T, l language) {
		v := newVersion(t)
		address := ports.Address(ports.Loopback, freePort(t))
		v.env = []string{"KRE_METRICS_ADDR=" + address}
		node := v.node("first")
		l.run(v, node, "untyped").waitReady()
		c := v.caller()
		v.ask(c, node, send("one"))
		v.ask(c, node, send("two"))
		v.ask(c, node, map[string]any{"final": "no price"})
		v.settled(node)
		of := func(name, more string) string {
			return `kre_node_` + name + `{node="first"` + more + `,version="conformance-v1",workflow="flow"}`
		}
		seen := figures(t, address)
		require.Equal(t, "2", seen[of("attempts_total", `,outcome="ok"`)])
		require.Equal(t, "1", seen[of("attempts_total", `,outcome="failed"`)])
		require.Equal(t, "3", seen[of("attempt_seconds_count", "")])
		require.Equal(t, "1", seen[of("dead_letters_total", "")])
		require.Equal(t, "0", seen[of("expired_total", "")])
		require.Equal(t, "0", seen[of("worker_restarts_total", "")])

		v.ask(c, node, map[string]any{"end": true})
		v.settled(node)
		seen = figures(t, address)
		require.Equal(t, "3", seen[of("worker_restarts_total", "")])
		require.Equal(t, "2", seen[of("dead_letters_total", "")])
		require.Equal(t, "3", seen[of("attempt_seconds_count", "")], "no handler has returned")

		other := l.run(v, node, "untyped")
		require.Equal(t, 1, other.code())
		require.Contains(t, other.output(), `KRE_METRICS_ADDR is \"`+address+`\": listen tcp `+address)
	})
}
