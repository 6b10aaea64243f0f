package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/store"
)

// served runs a store until the test is over, and returns its address.
func served(t *testing.T, run func(context.Context, *console.Console) error) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said := &transcript{}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, &console.Console{In: strings.NewReader(""), Out: said, Err: said}) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	address := ""
	require.Eventually(t, func() bool {
		for line := range strings.Lines(said.String()) {
			var told struct{ Message, Address string }
			if json.Unmarshal([]byte(line), &told) == nil && told.Message == "serving" {
				address = told.Address
			}
		}
		return address != ""
	}, time.Minute, 5*time.Millisecond, "%s", said)
	return address
}

type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func TestDocumentsAreServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "documents")
	address := served(t, (&store.Documents{Addr: "127.0.0.1:0", Data: dir}).Run)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.DirExists(t, dir)
}

func TestObjectsAreServedToWhomHasTheKeys(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret\n"), 0o600))
	address := served(t, (&store.Objects{Addr: "127.0.0.1:0", Data: t.TempDir(), AccessKey: "key", SecretKeyFile: secret}).Run)
	answer, err := http.Get("http://" + address + "/")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
}

func TestObjectsNeedKeys(t *testing.T) {
	err := (&store.Objects{Addr: "127.0.0.1:0", Data: t.TempDir(), AccessKey: "key"}).Run(t.Context(), &console.Console{})
	require.EqualError(t, err, "KRE_S3_SECRET_KEY or KRE_S3_SECRET_KEY_FILE is required")
}

func TestSecretsFitABrokerThatFindsThemElsewhere(t *testing.T) {
	programs, dir := t.TempDir(), filepath.Join(t.TempDir(), "secrets")
	t.Setenv("KRE_LIBEXEC", programs)
	require.NoError(t, os.WriteFile(filepath.Join(programs, "admin-api"), []byte("#!/bin/sh\necho keys > \"$2\"\n"), 0o755))
	command := store.Secrets{Dir: dir, NATSHost: "0.0.0.0", NATSPort: 4222, NATSHTTP: 8222, NATSPath: "/secrets/nats", NATSData: "/data", Owner: -1}
	require.NoError(t, command.Run(t.Context(), &console.Console{Out: &transcript{}}))
	config, err := os.ReadFile(filepath.Join(dir, "nats", "nats.conf"))
	require.NoError(t, err)
	for _, line := range []string{
		`listen: "0.0.0.0:4222"`, `http: "0.0.0.0:8222"`, `operator: "/secrets/nats/operator.jwt"`, `dir: "/secrets/nats/accounts"`, `store_dir: "/data"`,
	} {
		require.Contains(t, string(config), line)
	}
	for _, name := range []string{"admin.token", "service.token", "s3.access", "s3.secret", "keyset.json", "nats/operator.seed", "nats/system.creds"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
}
