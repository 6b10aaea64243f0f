package natsaccount_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/k8s-manager/internal/natsaccount"
	"github.com/konstellation-io/kre/kit/fault"
)

const patience = 30 * time.Second

// world is a broker in operator mode and who makes its accounts.
type world struct {
	operator *broker.Operator
	broker   *broker.Broker
	accounts *natsaccount.Accounts
}

func newWorld(t *testing.T) *world {
	t.Helper()
	operator, err := broker.InitOperator(t.TempDir())
	require.NoError(t, err)
	w := &world{operator: operator}
	w.broker, err = broker.StartOperator(t.Context(), operator, broker.OperatorOptions{})
	require.NoError(t, err)
	t.Cleanup(w.broker.Stop)
	connected := make(chan struct{}, 10)
	w.accounts, err = natsaccount.Open(natsaccount.Options{
		URL: w.broker.URL(), OperatorSeedFile: operator.SeedFile(), SystemCreds: operator.SystemCreds(),
		Connected: func() { connected <- struct{}{} },
	})
	require.NoError(t, err)
	t.Cleanup(w.accounts.Close)
	<-connected
	return w
}

// enter connects as a user whom the account's seed has signed.
func (w *world) enter(t *testing.T, seedFile string) (*nats.Conn, error) {
	t.Helper()
	content, err := os.ReadFile(seedFile)
	require.NoError(t, err)
	account, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(content))))
	require.NoError(t, err)
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	claims := jwt.NewUserClaims(id)
	claims.BearerToken = true
	token, err := claims.Encode(account)
	require.NoError(t, err)
	nc, err := nats.Connect(w.broker.URL(), nats.UserJWTAndSeed(token, string(seed)))
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

func stream(t *testing.T, nc *nats.Conn, name string) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, AllowAtomicPublish: true})
	require.NoError(t, err)
	return s
}

func TestAnAccountHasStreamsThatNoOtherAccountSees(t *testing.T) {
	w := newWorld(t)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", one))
	require.NoError(t, w.accounts.Ensure(t.Context(), "two", two))
	info, err := os.Stat(one)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	first, err := w.enter(t, one)
	require.NoError(t, err)
	second, err := w.enter(t, two)
	require.NoError(t, err)
	stream(t, first, "mine")
	js, err := jetstream.New(second)
	require.NoError(t, err)
	_, err = js.Stream(t.Context(), "mine")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestEnsuringAgainKeepsTheAccountWithWhatIsInIt(t *testing.T) {
	w := newWorld(t)
	seed := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", seed))
	nc, err := w.enter(t, seed)
	require.NoError(t, err)
	stream(t, nc, "kept")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", seed))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.Stream(t.Context(), "kept")
	require.NoError(t, err)
}

func TestRemovingAnAccountRemovesItsStreamsAndItsSeed(t *testing.T) {
	w := newWorld(t)
	seed := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", seed))
	content, err := os.ReadFile(seed)
	require.NoError(t, err)
	nc, err := w.enter(t, seed)
	require.NoError(t, err)
	stream(t, nc, "gone")

	require.NoError(t, w.accounts.Remove(t.Context(), "one", seed))
	require.NoFileExists(t, seed)
	require.NoError(t, w.accounts.Remove(t.Context(), "one", seed), "it is gone already")

	again := filepath.Join(t.TempDir(), "again")
	require.NoError(t, os.WriteFile(again, content, 0o600))
	_, err = w.enter(t, again)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", again))
	nc, err = w.enter(t, again)
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.Stream(t.Context(), "gone")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestFinishesARemovalThatWasInterruptedBeforeTheSeedWasRemoved(t *testing.T) {
	w := newWorld(t)
	seed := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", seed))
	content, err := os.ReadFile(seed)
	require.NoError(t, err)
	require.NoError(t, w.accounts.Remove(t.Context(), "one", seed))
	require.NoError(t, os.WriteFile(seed, content, 0o600))
	require.NoError(t, w.accounts.Remove(t.Context(), "one", seed))
	require.NoFileExists(t, seed)
}

func TestABrokerThatIsAwayIsUnavailableAndIsFoundAgain(t *testing.T) {
	operator, err := broker.InitOperator(t.TempDir())
	require.NoError(t, err)
	b, err := broker.StartOperator(t.Context(), operator, broker.OperatorOptions{})
	require.NoError(t, err)
	url := b.URL()
	b.Stop()

	connected := make(chan struct{}, 10)
	accounts, err := natsaccount.Open(natsaccount.Options{
		URL: url, OperatorSeedFile: operator.SeedFile(), SystemCreds: operator.SystemCreds(),
		Connected: func() { connected <- struct{}{} },
	})
	require.NoError(t, err)
	t.Cleanup(accounts.Close)
	seed := filepath.Join(t.TempDir(), "seed")
	err = accounts.Ensure(t.Context(), "one", seed)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.FileExists(t, seed, "the key is kept: the next attempt uses it")

	b, err = broker.StartOperator(t.Context(), operator, broker.OperatorOptions{Port: port(t, url)})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	select {
	case <-connected:
	case <-time.After(patience):
		require.FailNow(t, "it does not connect")
	}
	require.NoError(t, accounts.Ensure(t.Context(), "one", seed))
}

func TestRefusesASeedThatIsNoOperators(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "seed")
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	seed, err := account.Seed()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	_, err = natsaccount.Open(natsaccount.Options{URL: "nats://127.0.0.1:1", OperatorSeedFile: file})
	require.ErrorContains(t, err, "somebody else than a NATS operator")
	_, err = natsaccount.Open(natsaccount.Options{URL: "nats://127.0.0.1:1", OperatorSeedFile: filepath.Join(dir, "none")})
	require.ErrorIs(t, err, os.ErrNotExist)
}
