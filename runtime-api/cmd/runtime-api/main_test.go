package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/ports"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	main "github.com/konstellation-io/kre/runtime-api/cmd/runtime-api"
	"github.com/konstellation-io/kre/runtime-api/internal/storetest"
)

const (
	token    = "service-secret"
	natsPass = "broker-secret"
	patience = 20 * time.Second
)

// program is runtime-api, built once.
var program string

func TestMain(m *testing.M) {
	storetest.Serve()
	goruntime.KeepAlive(main.Run)
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runtime-api-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of the system's temporary folder
	program = filepath.Join(dir, "runtime-api")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", output, err)
		return 1
	}
	return m.Run()
}

func startBroker(t *testing.T, address string) {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", address)
	require.NoError(t, err)
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: tcp.Port, Authorization: natsPass,
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(patience))
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return ports.Address(ports.Loopback, port)
}

func TestServesFromTheMomentItsBrokerIsThereUntilItIsToldToEnd(t *testing.T) {
	broker, address := freeAddress(t), freeAddress(t)
	ready := filepath.Join(t.TempDir(), "ready")
	process := exec.Command(program)
	process.Env = append(os.Environ(), "KRE_NATS_URL=nats://"+natsPass+"@"+broker, "KRE_GRPC_ADDR="+address,
		"KRE_SERVICE_TOKEN="+token, "KRE_READY_FILE="+ready)
	var log bytes.Buffer
	process.Stdout, process.Stderr = &log, &log
	require.NoError(t, process.Start())
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	t.Cleanup(func() { _ = process.Process.Kill() })

	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	versions := runtimev1.NewVersionServiceClient(conn)
	trusted := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)

	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err, "health needs no token")
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, health.GetStatus())
	_, err = versions.RemoveVersion(trusted, &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.Equal(t, codes.Unavailable, status.Code(err), "the broker is not there yet")
	require.NoFileExists(t, ready)

	startBroker(t, broker)
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, patience, 10*time.Millisecond)
	_, err = versions.RemoveVersion(trusted, &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.NoError(t, err)
	_, err = versions.RemoveVersion(ctx, &runtimev1.RemoveVersionRequest{Version: "prices-v1"})
	require.Equal(t, codes.Unauthenticated, status.Code(err))

	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		require.NoError(t, err, "exit code 0")
	case <-ctx.Done():
		require.FailNow(t, "it does not end")
	}
	require.NoFileExists(t, ready)
	requireLog(t, log.String())
}

// requireLog checks that every line is JSON, that each call has one, and that none tells a secret.
func requireLog(t *testing.T, log string) {
	t.Helper()
	require.NotContains(t, log, token)
	require.NotContains(t, log, natsPass)
	var calls []string
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		var line struct{ Message, Method, Code string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		if line.Message == "call" {
			calls = append(calls, line.Method+" "+line.Code)
		}
	}
	const method = "/kre.runtime.v1.VersionService/RemoveVersion "
	require.Equal(t, []string{method + "Unavailable", method + "OK", method + "Unauthenticated"}, calls)
}

func TestAnAddressThatIsTakenEndsIt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	process := exec.Command(program, "--grpc-addr", listener.Addr().String(), "--nats-url", "nats://"+freeAddress(t))
	output, err := process.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 1, process.ProcessState.ExitCode())
	require.Contains(t, string(output), "listen for gRPC: ")
}
