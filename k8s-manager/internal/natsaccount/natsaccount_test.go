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
	tokens   map[string]string // by the account's key and the user
}

func newWorld(t *testing.T) *world {
	t.Helper()
	operator, err := broker.InitOperator(t.TempDir())
	require.NoError(t, err)
	w := &world{operator: operator, tokens: make(map[string]string)}
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

// seedIn is the account's key in a folder.
func seedIn(dir string) string { return filepath.Join(dir, natsaccount.SeedFile) }

// enter connects as a user whom the account's key in a folder has signed.
func (w *world) enter(t *testing.T, dir string) (*nats.Conn, error) {
	t.Helper()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	return w.enterAs(t, dir, user)
}

func (w *world) enterAs(t *testing.T, dir string, user nkeys.KeyPair) (*nats.Conn, error) {
	t.Helper()
	token, seed := w.tokenOf(t, dir, user)
	nc, err := nats.Connect(w.broker.URL(), nats.UserJWTAndSeed(token, string(seed)))
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

// tokenOf is what the account's key in a folder signs for a user, once, and the user's seed. What it signed after a user was
// revoked would let them in.
func (w *world) tokenOf(t *testing.T, dir string, user nkeys.KeyPair) (token string, seed []byte) {
	t.Helper()
	content, err := os.ReadFile(seedIn(dir))
	require.NoError(t, err)
	account, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(content))))
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	seed, err = user.Seed()
	require.NoError(t, err)
	signed := string(content) + id
	if w.tokens[signed] == "" {
		w.tokens[signed], err = jwt.NewUserClaims(id).Encode(account)
		require.NoError(t, err)
	}
	return w.tokens[signed], seed
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
	one, two := t.TempDir(), t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", one))
	require.NoError(t, w.accounts.Ensure(t.Context(), "two", two))
	info, err := os.Stat(seedIn(one))
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
	dir := t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	nc, err := w.enter(t, dir)
	require.NoError(t, err)
	stream(t, nc, "kept")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.Stream(t.Context(), "kept")
	require.NoError(t, err)
}

func TestRemovingAnAccountRemovesItsStreamsAndItsSeed(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	content, err := os.ReadFile(seedIn(dir))
	require.NoError(t, err)
	nc, err := w.enter(t, dir)
	require.NoError(t, err)
	stream(t, nc, "gone")

	require.NoError(t, w.accounts.Remove(t.Context(), "one", dir))
	require.NoFileExists(t, seedIn(dir))
	require.NoError(t, w.accounts.Remove(t.Context(), "one", dir), "it is gone already")

	again := t.TempDir()
	require.NoError(t, os.WriteFile(seedIn(again), content, 0o600))
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
	dir := t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	content, err := os.ReadFile(seedIn(dir))
	require.NoError(t, err)
	require.NoError(t, w.accounts.Remove(t.Context(), "one", dir))
	require.NoError(t, os.WriteFile(seedIn(dir), content, 0o600))
	require.NoError(t, w.accounts.Remove(t.Context(), "one", dir))
	require.NoFileExists(t, seedIn(dir))
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
	dir := t.TempDir()
	err = accounts.Ensure(t.Context(), "one", dir)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.FileExists(t, seedIn(dir), "the key is kept: the next attempt uses it")

	b, err = broker.StartOperator(t.Context(), operator, broker.OperatorOptions{Port: port(t, url)})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	select {
	case <-connected:
	case <-time.After(patience):
		require.FailNow(t, "it does not connect")
	}
	require.NoError(t, accounts.Ensure(t.Context(), "one", dir))
}

// userIn makes the key of a user in a file, and reads it.
func (w *world) userIn(t *testing.T, file string) nkeys.KeyPair {
	t.Helper()
	seed, err := w.accounts.User(file)
	require.NoError(t, err)
	same, err := w.accounts.User(file)
	require.NoError(t, err)
	require.Equal(t, seed, same, "it is the same user until it is revoked")
	user, err := nkeys.FromSeed([]byte(seed))
	require.NoError(t, err)
	return user
}

func TestAUserWhoIsRevokedIsThrownOutAndTheNextOneLetIn(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	file := filepath.Join(dir, "user.seed")
	first := w.userIn(t, file)
	nc, err := w.enterAs(t, dir, first)
	require.NoError(t, err)
	require.NoError(t, w.accounts.Revoke(t.Context(), "one", dir, file))
	require.NoFileExists(t, file)
	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond)
	_, err = w.enterAs(t, dir, first)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.NoError(t, w.accounts.Revoke(t.Context(), "one", dir, file), "nobody is there")

	// Within the same second.
	second := w.userIn(t, file)
	_, err = w.enterAs(t, dir, second)
	require.NoError(t, err)
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir), "what is pushed again says it, too")
	_, err = w.enterAs(t, dir, first)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = w.enterAs(t, dir, second)
	require.NoError(t, err)

	// Removed and made again, the account is another one.
	require.NoError(t, w.accounts.Remove(t.Context(), "one", dir))
	_, err = os.ReadDir(dir)
	require.NoError(t, err)
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	_, err = w.enterAs(t, dir, second)
	require.NoError(t, err, "signed by the new account")
}

func TestACredentialsFileNamesAUserToRevokeToo(t *testing.T) {
	w := newWorld(t)
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "nats.creds")
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	nc, err := w.enterAs(t, dir, user)
	require.NoError(t, err)
	token, seed := w.tokenOf(t, dir, user)
	content, err := jwt.FormatUserConfig(token, seed)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	kept, err := w.accounts.User(file)
	require.NoError(t, err)
	require.Equal(t, string(seed), kept)
	require.NoError(t, w.accounts.Revoke(t.Context(), "one", dir, file))
	require.NoFileExists(t, file)
	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond)
	_, err = w.enterAs(t, dir, user)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestARevocationThatTheBrokerDoesNotHearOfIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, w.accounts.Ensure(t.Context(), "one", dir))
	file := filepath.Join(dir, "user.seed")
	user := w.userIn(t, file)
	_, err := w.enterAs(t, dir, user)
	require.NoError(t, err)
	url := w.broker.URL()
	w.broker.Stop()
	require.Equal(t, fault.Unavailable, fault.KindOf(w.accounts.Revoke(t.Context(), "one", dir, file)))
	require.FileExists(t, file, "who asks again is right")

	b, err := broker.StartOperator(t.Context(), w.operator, broker.OperatorOptions{Port: port(t, url)})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	require.Eventually(t, func() bool { return w.accounts.Ensure(t.Context(), "one", dir) == nil }, patience, 10*time.Millisecond)
	_, err = w.enterAs(t, dir, user)
	require.ErrorIs(t, err, nats.ErrAuthorization)
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
