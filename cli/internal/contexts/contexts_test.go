package contexts

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
)

func TestAnAddressIsAHostAndMaybeAPort(t *testing.T) {
	tests := map[string][2]string{
		"kre.example": {"kre.example:7081", "kre.example"}, "kre.example:443": {"kre.example:443", "kre.example"},
		"127.0.0.1": {"127.0.0.1:7081", "127.0.0.1"}, "::1": {"[::1]:7081", "::1"}, "[::1]:80": {"[::1]:80", "::1"}, "[::1]": {"[::1]:7081", "::1"},
	}
	for text, want := range tests {
		address, host, err := parseAddress(text)
		require.NoError(t, err, text)
		require.Equal(t, want, [2]string{address, host}, text)
	}
	for _, text := range []string{"", ":80", "http://kre.example", "kre.example:", "kre.example:0", "kre.example:x", "kre.example:65536", "a:b:c"} {
		_, _, err := parseAddress(text)
		require.ErrorContains(t, err, "want HOST or HOST:PORT", text)
	}
}

func TestForgettingTheCurrentContextSaysSo(t *testing.T) {
	t.Setenv("KRE_CONFIG_DIR", t.TempDir())
	require.NoError(t, cliconfig.Config{Current: "a", Contexts: map[string]cliconfig.Context{"a": {GRPC: "a:1"}, "b": {GRPC: "b:1", Runtime: "prices"}}}.Save())
	var out, errs bytes.Buffer
	con := &console.Console{Out: &out, Err: &errs}
	require.NoError(t, (&Delete{Name: "a"}).Run(con))
	require.Equal(t, "It was the current one: kre context use NAME chooses another.\n", errs.String())
	require.EqualError(t, (&Show{}).Run(con), "which engine? kre context use NAME chooses one of b")
	require.EqualError(t, (&Use{Name: "a"}).Run(con), "there is no context a; there is b")

	out.Reset()
	require.NoError(t, (&Use{Name: "b"}).Run(con))
	require.NoError(t, (&List{}).Run(con))
	require.Equal(t, "commands talk to b:1 now\n   CONTEXT  ADDRESS  RUNTIME\n*  b        b:1      prices\n", out.String())

	out.Reset()
	require.NoError(t, (&Use{Name: "b", Format: output.Format{Output: "json"}}).Run(con))
	require.JSONEq(t, `{"name":"b","current":true,"grpcAddress":"b:1","httpAddress":"","runtime":"prices"}`, out.String())
	out.Reset()
	require.NoError(t, (&Delete{Name: "b", Format: output.Format{Output: "yaml"}}).Run(con))
	require.Equal(t, "name: b\ndeleted: true\n", out.String())
}
