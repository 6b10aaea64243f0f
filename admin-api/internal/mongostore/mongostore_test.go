package mongostore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/admin-api/internal/mongostore"
	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/socket"
)

// realMongo names a MongoDB server, in which each test makes a database of its own and removes it.
const realMongo = "KRE_TEST_MONGO_URI"

func TestMain(m *testing.M) {
	if os.Getenv(realMongo) == "" {
		fmt.Printf("mongostore: a real MongoDB was not tried: %s is not set\n", realMongo)
	}
	os.Exit(m.Run())
}

// embedded starts the server of `kre up`, for all tests that are given its address.
func embedded(t testing.TB) string {
	t.Helper()
	s, err := documents.Start(context.Background(), documents.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s.URI()
}

// patience is for a machine that has a lot to do.
const patience = time.Minute

func open(t testing.TB, uri string) *mongostore.Store {
	t.Helper()
	database := "kre-test-" + strings.ToLower(rand.Text())
	s, err := mongostore.Open(context.Background(), uri, database, mongostore.Options{Timeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, s.Close(context.Background()))
		drop(t, uri, database)
	})
	return s
}

func drop(t testing.TB, uri, database string) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetDialer(socket.Dialer{}))
	require.NoError(t, err)
	assert.NoError(t, client.Database(database).Drop(context.Background()))
	assert.NoError(t, client.Disconnect(context.Background()))
}

func TestPassesTheSuiteOverTheEmbeddedServer(t *testing.T) {
	uri := embedded(t)
	enginetest.Run(t, func(t *testing.T) engine.Store { return open(t, uri) })
}

// TestPassesTheSuiteOverMongoDB has nothing to do without a server, which the first line of the output says.
func TestPassesTheSuiteOverMongoDB(t *testing.T) {
	if uri := os.Getenv(realMongo); uri != "" {
		enginetest.Run(t, func(t *testing.T) engine.Store { return open(t, uri) })
	}
}

func TestFindsEverythingAgainAfterItIsOpenedAnew(t *testing.T) {
	uri := embedded(t)
	for round := range int64(2) {
		s, err := mongostore.Open(t.Context(), uri, "kre", mongostore.Options{Timeout: patience})
		require.NoError(t, err)
		require.NoError(t, s.Ping(t.Context()))
		if round == 0 {
			require.NoError(t, s.CreateLedger(t.Context(), engine.Ledger{Name: "prod", Revision: 1}))
		}
		got, err := s.Ledger(t.Context(), "prod")
		require.NoError(t, err)
		require.Equal(t, engine.Ledger{Name: "prod", Revision: 1}, got)
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestPurgesMoreThanFitsIntoOneCommand(t *testing.T) {
	s := open(t, embedded(t))
	const many = 600
	for i := range int64(many) {
		require.NoError(t, s.PutActivity(t.Context(), engine.Activity{Runtime: "prod", Revision: i + 1, Time: time.Now()}))
	}
	require.NoError(t, s.PutActivity(t.Context(), engine.Activity{Runtime: "prod0", Revision: 1}))
	require.NoError(t, s.Purge(t.Context(), "prod"))
	left, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: "prod", Limit: 10})
	require.NoError(t, err)
	require.Empty(t, left)
	left, err = s.Activities(t.Context(), engine.ActivityQuery{Runtime: "prod0", Limit: 10})
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestAServerThatIsAwayIsUnavailableAndItsErrorIsForTheLogOnly(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	addr := ports.Address(ports.Loopback, port)
	_, err = mongostore.Open(t.Context(), "mongodb://"+addr, "kre", mongostore.Options{Timeout: 50 * time.Millisecond})
	requireAway(t, err, addr)
}

func TestAServerThatGoesAwayIsUnavailable(t *testing.T) {
	server, err := documents.Start(t.Context(), documents.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	s, err := mongostore.Open(t.Context(), server.URI(), "kre", mongostore.Options{Timeout: 500 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) }) // which complains of the server
	require.NoError(t, server.Close())
	_, err = s.Ledger(t.Context(), "prod")
	requireAway(t, err, server.Addr())
	requireAway(t, s.CreateLedger(t.Context(), engine.Ledger{Name: "prod"}), server.Addr())
	requireAway(t, s.Ping(t.Context()), server.Addr())
}

// A server that takes connections and never answers.
func TestAServerThatHangsIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = mongostore.Open(t.Context(), "mongodb://"+l.Addr().String(), "kre", mongostore.Options{Timeout: 50 * time.Millisecond})
	requireAway(t, err, l.Addr().String())
}

// requireAway wants an error whose text for callers says nothing of the driver's.
func requireAway(t *testing.T, err error, addr string) {
	t.Helper()
	var failure *fault.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, fault.Unavailable, failure.Kind)
	require.Equal(t, "the store does not answer; try again", failure.Message)
	require.NotContains(t, failure.Message, addr)
	require.Error(t, failure.Cause)
}

func TestAnAddressThatCannotBeReadIsNotRepeated(t *testing.T) {
	_, err := mongostore.Open(t.Context(), "mongodb://kre:secret@host:port:1/", "kre", mongostore.Options{})
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	require.NotContains(t, err.Error(), "secret")
}
