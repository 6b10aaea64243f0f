package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
)

func TestCountsWhatIsStoredAndDropsItButNoDeadLetters(t *testing.T) {
	b, js := open(t)
	require.NoError(t, b.Apply(t.Context(), prices("prices-v1")))
	require.NoError(t, b.Apply(t.Context(), prices("prices-v2")))
	publish(t, js, "kre.prices-v1.estimate.entry", "one")
	publish(t, js, "kre.prices-v1.estimate.entry", "two")
	publish(t, js, "kre.prices-v1._dead.estimate.etl", "dead")
	publish(t, js, "kre.prices-v2.estimate.entry", "another version's")

	count, err := b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, assets.Messages{Stored: 2, Dead: 1}, count)
	dropped, err := b.Discard(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.EqualValues(t, 2, dropped)
	count, err = b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, assets.Messages{Dead: 1}, count)
	count, err = b.Count(t.Context(), "prices-v2")
	require.NoError(t, err)
	require.Equal(t, assets.Messages{Stored: 1}, count)
}

func TestEveryEntrypointHearsACommandAndIsHeard(t *testing.T) {
	srv := start(t)
	b := connect(t, srv.ClientURL())
	reports, err := b.Command(t.Context(), "prices-v1", "close")
	require.NoError(t, err)
	require.Empty(t, reports, "no entrypoint runs")

	conn, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	for _, answer := range []string{`{"instance":"a","waiting":3,"closed":true,"moving":1}`, `{"instance":"b"}`} {
		_, err := conn.Subscribe(plan.Control("prices-v1"), func(m *nats.Msg) {
			if string(m.Data) == `{"command":"close"}` {
				_ = m.Respond([]byte(answer)) // the test sees that it is not there
			}
		})
		require.NoError(t, err)
	}
	require.NoError(t, conn.Flush())
	reports, err = b.Command(t.Context(), "prices-v1", "close")
	require.NoError(t, err)
	require.ElementsMatch(t, []assets.Report{{Instance: "a", Waiting: 3, Closed: true, Moving: 1}, {Instance: "b"}}, reports)

	_, err = conn.Subscribe(plan.Control("prices-v2"), func(m *nats.Msg) { _ = m.Respond([]byte(`{"error":"unknown"}`)) })
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	_, err = b.Command(t.Context(), "prices-v2", "dance")
	require.ErrorContains(t, err, "unknown")
}

// operated is a broker in operator mode.
type operated struct {
	*server.Server
	operator nkeys.KeyPair
	resolver server.AccountResolver
}

func newOperated(t *testing.T) *operated {
	t.Helper()
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	operatorID, err := operator.PublicKey()
	require.NoError(t, err)
	o := &operated{operator: operator, resolver: &server.MemAccResolver{}}
	_, system := o.account(t)
	o.Server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, MaxControlLine: 1 << 20,
		TrustedKeys: []string{operatorID}, AccountResolver: o.resolver, SystemAccount: system,
	})
	require.NoError(t, err)
	run(t, o.Server)
	return o
}

// account makes an account, and returns its seed and its id.
func (o *operated) account(t *testing.T) (seed, id string) {
	t.Helper()
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	id, err = account.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(id)
	if o.Server != nil { // else it is the system's
		claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	}
	token, err := claims.Encode(o.operator)
	require.NoError(t, err)
	require.NoError(t, o.resolver.Store(id, token))
	text, err := account.Seed()
	require.NoError(t, err)
	return string(text), id
}

// runtime makes the account of a runtime.
func (o *operated) runtime(t *testing.T) *broker.Account {
	t.Helper()
	seed, _ := o.account(t)
	file := filepath.Join(t.TempDir(), "account.seed")
	require.NoError(t, os.WriteFile(file, []byte(seed), 0o600))
	account, err := broker.ReadAccount(file)
	require.NoError(t, err)
	return account
}

// user makes the seed of a user.
func user(t *testing.T) string {
	t.Helper()
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := key.Seed()
	require.NoError(t, err)
	return string(seed)
}

// enter connects as who has credentials, and returns what the broker refuses.
func (o *operated) enter(t *testing.T, credentials string, p *plan.Plan) (*nats.Conn, <-chan error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "version.creds")
	require.NoError(t, os.WriteFile(file, []byte(credentials), 0o600))
	refused := make(chan error, 16)
	conn, err := nats.Connect(o.ClientURL(), nats.UserCredentials(file), nats.CustomInboxPrefix(p.Entrypoint.Inbox),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn, refused
}

// administrator connects as one who may do everything in the account with that seed.
func (o *operated) administrator(t *testing.T, seed string) *nats.Conn {
	t.Helper()
	account, err := nkeys.FromSeed([]byte(seed))
	require.NoError(t, err)
	key, err := nkeys.FromSeed([]byte(user(t)))
	require.NoError(t, err)
	id, err := key.PublicKey()
	require.NoError(t, err)
	token, err := jwt.NewUserClaims(id).Encode(account)
	require.NoError(t, err)
	conn, err := nats.Connect(o.ClientURL(), nats.UserJWT(func() (string, error) { return token, nil }, key.Sign))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

const chain = `krtVersion: v2
version: %s
workflows:
  - name: estimate
    entrypoint: Estimate
    exitpoint: model
    nodes:
      - {name: etl, image: none, src: bin/etl, subscriptions: [entrypoint]}
      - {name: model, image: none, src: bin/model, subscriptions: [etl]}
`

func planned(t *testing.T, version string) *plan.Plan {
	t.Helper()
	m, problems := manifest.Parse("krt.yml", []byte(strings.Replace(chain, "%s", version, 1)))
	require.NoError(t, problems.Err())
	return plan.New(m)
}

func TestAVersionsCredentialsAreGoodForItsOwnAndNothingElse(t *testing.T) {
	o := newOperated(t)
	b, err := broker.OpenCells(o.ClientURL(), zap.NewNop(), broker.Options{Account: o.runtime(t)})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	own, other := planned(t, "prices-v1"), planned(t, "prices-v2")
	seed, _ := o.account(t)
	credentials, err := b.Apply(t.Context(), own, assets.Keys{Account: seed, User: user(t)})
	require.NoError(t, err)
	conn, refused := o.enter(t, credentials, own)
	js, err := jetstream.New(conn)
	require.NoError(t, err)

	_, err = js.Publish(t.Context(), own.Entrypoint.Workflows[0].Subject, []byte("request"))
	require.NoError(t, err)
	source := own.Nodes[0].Sources[0]
	consumer, err := js.Consumer(t.Context(), source.Stream, source.Consumer)
	require.NoError(t, err)
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(10*time.Second))
	require.NoError(t, err)
	for message := range batch.Messages() {
		require.Equal(t, "request", string(message.Data()))
		require.NoError(t, message.DoubleAck(t.Context()))
	}
	require.NoError(t, batch.Error())

	expectRefused := func(what string) {
		t.Helper()
		require.NoError(t, conn.Flush())
		select {
		case err := <-refused:
			require.ErrorIs(t, err, nats.ErrPermissionViolation, what)
		case <-time.After(10 * time.Second):
			require.FailNow(t, "it may "+what)
		}
	}
	require.NoError(t, conn.Publish(other.Entrypoint.Workflows[0].Subject, nil))
	expectRefused("publish another version's messages")
	_, err = conn.SubscribeSync(other.Entrypoint.Inbox + ".>")
	require.NoError(t, err)
	expectRefused("listen to another version's answers")
	_, err = conn.SubscribeSync("kre.>")
	require.NoError(t, err)
	expectRefused("listen to everything")
	require.NoError(t, conn.Publish("$JS.API.STREAM.DELETE."+own.Streams[0].Name, nil))
	expectRefused("delete its own stream")

	// What is received says where to answer; that is no leave to do so.
	heard, err := conn.SubscribeSync(own.Entrypoint.Inbox + ".self")
	require.NoError(t, err)
	require.NoError(t, conn.PublishRequest(own.Entrypoint.Inbox+".self", "$JS.API.STREAM.NAMES", nil))
	message, err := heard.NextMsg(10 * time.Second)
	require.NoError(t, err)
	require.NoError(t, message.Respond(nil))
	expectRefused("answer to whatever it wrote itself")
}

func TestAFileWithoutAnAccountsSeedIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, os.WriteFile(file, []byte("nothing"), 0o600))
	_, err := broker.ReadAccount(file)
	require.ErrorContains(t, err, file)
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	_, err = broker.ReadAccount(file)
	require.ErrorContains(t, err, "somebody else")
	require.Equal(t, fault.Internal, fault.KindOf(err))
}
