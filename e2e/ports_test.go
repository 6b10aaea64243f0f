package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// TestWhatListensAtAPortAsksWhoOneIs plays another user of the machine: whatever of the engine can be reached by a port lets in only
// who proves to be somebody, but what is there to be called, and everything else is at a socket that only its owner can reach.
func TestWhatListensAtAPortAsksWhoOneIs(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	runtime := engine.Published(t, "open", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	version, err := engine.Get(t.Context(), "open", "greeting-v1")
	require.NoError(t, err)

	meant := map[string]string{ // there to be called by everybody
		runtime.GetGrpcAddress(): "a published version", strings.TrimPrefix(runtime.GetHttpAddress(), "http://"): "a published version",
		version.GetGrpcAddress(): "an entrypoint", strings.TrimPrefix(version.GetHttpAddress(), "http://"): "an entrypoint",
	}
	asks := map[string]func(t *testing.T, address string){
		strings.TrimPrefix(engine.Up.HTTP, "http://"): asksOverHTTP("/v1/runtimes", http.StatusUnauthorized),
		engine.Up.GRPC: asksOverGRPC,
	}
	var kept struct{ NATS, Objects int }
	content, err := os.ReadFile(filepath.Join(engine.Data, "ports.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &kept))
	asks[net.JoinHostPort("127.0.0.1", strconv.Itoa(kept.NATS))] = natsAsks
	asks[net.JoinHostPort("127.0.0.1", strconv.Itoa(kept.Objects))] = asksOverHTTP("/kre-open?list-type=2", http.StatusForbidden)

	listening := engine.Listening(t)
	require.NotEmpty(t, listening)
	for _, address := range listening {
		if what, open := meant[address]; open {
			t.Logf("%s: %s", address, what)
			continue
		}
		ask, known := asks[address]
		require.Truef(t, known, "somebody listens at %s, of whom this test knows nothing", address)
		ask(t, address)
		delete(asks, address)
	}
	require.Empty(t, asks, "nobody listens there")

	sockets := 0
	require.NoError(t, filepath.WalkDir(engine.Data, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Type()&os.ModeSocket == 0 {
			return err
		}
		sockets++
		info, err := os.Stat(filepath.Dir(path))
		require.NoError(t, err)
		require.Zerof(t, info.Mode().Perm()&0o077, "others can reach %s", path)
		return nil
	}))
	require.GreaterOrEqual(t, sockets, 5, "documents, FerretDB, k8s-manager, admin-api, a runtime-api")
	data, err := os.Stat(engine.Data)
	require.NoError(t, err)
	require.Zero(t, data.Mode().Perm()&0o077)
}

func asksOverHTTP(path string, refusal int) func(t *testing.T, address string) {
	return func(t *testing.T, address string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, refusal, answer.StatusCode)
		t.Logf("%s: HTTP %d", address, answer.StatusCode)
	}
}

func asksOverGRPC(t *testing.T, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	_, err = adminv1.NewRuntimeServiceClient(conn).ListRuntimes(ctx, &adminv1.ListRuntimesRequest{}, grpc.WaitForReady(true))
	require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
	t.Logf("%s: %s", address, status.Code(err))
}

func natsAsks(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	require.NoError(t, conn.SetDeadline(time.Now().Add(harness.Patience)))
	_, err = fmt.Fprint(conn, "CONNECT {}\r\nPING\r\n")
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	info, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, info, `"auth_required":true`)
	answer, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, answer, "-ERR 'Authorization Violation'")
	t.Logf("%s: %s", address, strings.TrimSpace(answer))
}

// TestAPageThatRebindsItsNameReadsNothing plays a page whose own name was made to lead to this machine: its browser calls the published
// version by that name.
func TestAPageThatRebindsItsNameReadsNothing(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t, "--allowed-host=prices.example")
	runtime := engine.Published(t, "open", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:8080": http.StatusForbidden, "localhost": http.StatusOK, "prices.example": http.StatusOK,
	} {
		for _, path := range []string{"/", "/greeting.Greeting/Greet", "/protos/public_input.proto"} {
			method, body := http.MethodGet, ""
			if path == "/greeting.Greeting/Greet" {
				method, body = http.MethodPost, `{"name":"Ada"}`
			}
			request, err := http.NewRequestWithContext(t.Context(), method, runtime.GetHttpAddress()+path, strings.NewReader(body))
			require.NoError(t, err)
			request.Host = host
			request.Header.Set("Content-Type", "application/json")
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			text, err := io.ReadAll(answer.Body)
			require.NoError(t, errors.Join(err, answer.Body.Close()))
			require.Equalf(t, want, answer.StatusCode, "%s of %s: %s", path, host, text)
			if want == http.StatusForbidden {
				require.Contains(t, string(text), "this version is not called")
			}
		}
	}
}
