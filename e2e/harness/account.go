package harness

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// Broker connects to the engine's broker, as an administrator of a version's account. The connection outlives the broker's
// restarts and is closed when the test ends.
func (e *Engine) Broker(t testing.TB, url, runtime, version string) Broker {
	t.Helper()
	js, err := jetstream.New(e.Administrator(t, url, "runtimes", runtime, "versions", version))
	require.NoError(t, err)
	return Broker{js}
}

// Administrator connects to the engine's broker as somebody who may do everything in an account, whose key is in a folder below
// the data directory.
func (e *Engine) Administrator(t testing.TB, url string, folder ...string) *nats.Conn {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(e.Data, filepath.Join(folder...), "account.seed"))
	require.NoError(t, err)
	account, err := nkeys.ParseDecoratedNKey(content)
	require.NoError(t, err)
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	token := func() (string, error) { return jwt.NewUserClaims(id).Encode(account) }
	conn, err := nats.Connect(url, nats.UserJWT(token, user.Sign), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.IgnoreAuthErrorAbort())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}
