// Package remotetest is an engine for tests of its callers: a real server with what a test makes of its services.
package remotetest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Serve serves until the test ends, in place of what was served at the address before, if one is given.
func Serve(t testing.TB, address string, runtimes adminv1.RuntimeServiceServer, versions adminv1.VersionServiceServer) (at string, stop func()) {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer()
	adminv1.RegisterRuntimeServiceServer(server, runtimes)
	adminv1.RegisterVersionServiceServer(server, versions)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			server.Stop()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// Open is the engine at an address, as a command has it; it is the current context too.
func Open(t testing.TB, address string) *remote.Engine {
	t.Helper()
	t.Setenv("KRE_CONFIG_DIR", t.TempDir())
	t.Setenv("KRE_CONTEXT", "")
	t.Setenv("KRE_RUNTIME", "")
	known := cliconfig.Context{GRPC: address, Runtime: "prices"}
	require.NoError(t, cliconfig.Config{Current: "test", Contexts: map[string]cliconfig.Context{"test": known}}.Save())
	e, err := remote.Dial("test", known)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}
