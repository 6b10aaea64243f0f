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

// Broker connects to the engine's broker, as an administrator of a runtime's account. The connection outlives the broker's
// restarts and is closed when the test ends.
func (e *Engine) Broker(t testing.TB, url, runtime string) Broker {
	t.Helper()
	token, seed := administrator(t, filepath.Join(e.Data, "runtimes", runtime, "account.seed"))
	conn, err := nats.Connect(url, nats.UserJWTAndSeed(token, seed), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.IgnoreAuthErrorAbort())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return Broker{js}
}

// administrator makes a user of an account who may do everything in it.
func administrator(t testing.TB, seedFile string) (token, seed string) {
	t.Helper()
	content, err := os.ReadFile(seedFile)
	require.NoError(t, err)
	account, err := nkeys.ParseDecoratedNKey(content)
	require.NoError(t, err)
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	token, err = jwt.NewUserClaims(id).Encode(account)
	require.NoError(t, err)
	own, err := user.Seed()
	require.NoError(t, err)
	return token, string(own)
}
