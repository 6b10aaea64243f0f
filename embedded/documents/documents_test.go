package documents_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/socket"
)

func start(t *testing.T, o documents.Options) *documents.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := documents.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func connect(t *testing.T, uri string) *mongo.Collection {
	t.Helper()
	things, disconnect := dial(t, uri)
	t.Cleanup(disconnect)
	return things
}

func dial(t *testing.T, uri string) (things *mongo.Collection, disconnect func()) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetDialer(socket.Dialer{}))
	require.NoError(t, err)
	return client.Database("test").Collection("things"), func() {
		assert.NoError(t, client.Disconnect(context.Background()))
	}
}

type thing struct {
	ID       string `bson:"_id"`
	Revision int64  `bson:"revision"`
	Count    int64  `bson:"count"`
}

// many runs a function at once in as many goroutines and waits for all.
func many(t *testing.T, n int, f func(t *testing.T)) {
	t.Helper()
	var group sync.WaitGroup
	for range n {
		group.Go(func() { f(t) })
	}
	group.Wait()
}

func TestConcurrentIncrementsLoseNothing(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	_, err := things.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)

	many(t, 16, func(t *testing.T) {
		for range 20 {
			_, err := things.UpdateOne(t.Context(), bson.M{"_id": "a"}, bson.M{"$inc": bson.M{"count": 1}})
			assert.NoError(t, err)
		}
	})
	var got thing
	require.NoError(t, things.FindOne(t.Context(), bson.M{"_id": "a"}).Decode(&got))
	require.EqualValues(t, 16*20, got.Count)
}

func TestOneOfManyCompareAndSetsWins(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	_, err := things.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)

	const rounds = 20
	for round := range int64(rounds) {
		var mu sync.Mutex
		won := int64(0)
		many(t, 16, func(t *testing.T) {
			result, err := things.UpdateOne(t.Context(), bson.M{"_id": "a", "revision": round},
				bson.M{"$set": bson.M{"revision": round + 1}, "$inc": bson.M{"count": 1}})
			if !assert.NoError(t, err) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won += result.MatchedCount
		})
		require.EqualValues(t, 1, won)
	}
	var got thing
	require.NoError(t, things.FindOne(t.Context(), bson.M{"_id": "a"}).Decode(&got))
	require.Equal(t, thing{ID: "a", Revision: rounds, Count: rounds}, got)
}

func TestFindAndModifyLosesNothing(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	_, err := things.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)

	var mu sync.Mutex
	seen := map[int64]bool{}
	many(t, 16, func(t *testing.T) {
		for range 20 {
			var got thing
			err := things.FindOneAndUpdate(t.Context(), bson.M{"_id": "a"}, bson.M{"$inc": bson.M{"count": 1}}).Decode(&got)
			if !assert.NoError(t, err) {
				return
			}
			mu.Lock()
			assert.False(t, seen[got.Count], "two saw %d", got.Count)
			seen[got.Count] = true
			mu.Unlock()
		}
	})
	require.Len(t, seen, 16*20)
}

func TestOneOfManyInsertsOfAnIDWins(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	var mu sync.Mutex
	won, refused := 0, 0
	many(t, 16, func(t *testing.T) {
		_, err := things.InsertOne(t.Context(), thing{ID: "a"})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			won++
		case mongo.IsDuplicateKeyError(err):
			refused++
		default:
			assert.NoError(t, err)
		}
	})
	require.Equal(t, 1, won)
	require.Equal(t, 15, refused)
}

func TestAWriteThatWantsNoAnswerIsDoneBeforeTheNextOfItsConnection(t *testing.T) {
	s := start(t, documents.Options{})
	client, err := mongo.Connect(options.Client().ApplyURI(s.URI()).SetDialer(socket.Dialer{}).SetMaxPoolSize(1))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Disconnect(context.Background())) })
	things := client.Database("test").Collection("things")
	silent := client.Database("test", options.Database().SetWriteConcern(writeconcern.Unacknowledged())).Collection("things")
	for i := range 50 {
		_, err := silent.InsertOne(t.Context(), bson.M{"i": i})
		require.NoError(t, err)
	}
	n, err := things.CountDocuments(t.Context(), bson.M{})
	require.NoError(t, err)
	require.EqualValues(t, 50, n)
}

func TestTakesDocumentsOfManyMebibytes(t *testing.T) {
	s := start(t, documents.Options{})
	things := connect(t, s.URI())
	body := make([]byte, 4<<20)
	_, err := things.InsertOne(t.Context(), bson.M{"_id": "big", "body": body})
	require.NoError(t, err)
	var got struct{ Body []byte }
	require.NoError(t, things.FindOne(t.Context(), bson.M{"_id": "big"}).Decode(&got))
	require.Equal(t, body, got.Body)
}

func TestFindsItsDocumentsAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s, err := documents.Start(t.Context(), documents.Options{Dir: dir})
	require.NoError(t, err)
	_, err = connect(t, s.URI()).InsertOne(t.Context(), thing{ID: "kept", Revision: 7})
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = start(t, documents.Options{Dir: dir})
	var got thing
	require.NoError(t, connect(t, s.URI()).FindOne(t.Context(), bson.M{"_id": "kept"}).Decode(&got))
	require.EqualValues(t, 7, got.Revision)
}

func TestListensWhereItIsTold(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	address := ports.Address(ports.Loopback, port)
	s := start(t, documents.Options{Addr: address, Anywhere: true})
	require.Equal(t, address, s.Addr())
	require.Equal(t, "mongodb://"+address+"/", s.URI())

	path := filepath.Join(t.TempDir(), "own", "s.sock")
	s = start(t, documents.Options{Addr: "unix:" + path})
	require.Equal(t, path, s.Addr())
	_, err = connect(t, s.URI()).InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)
}

func TestListensAtNoPortUnlessItIsToldTo(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		_, err := documents.Start(t.Context(), documents.Options{Dir: t.TempDir(), Addr: addr})
		require.ErrorContains(t, err, "is no socket (unix:PATH), and the server asks nobody for a password", addr)
	}
	dir := t.TempDir()
	start(t, documents.Options{Dir: dir})
	info, err := os.Stat(filepath.Join(dir, "run", "documents.sock"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Empty(t, listening(t), "this process listens at a port")
}

// listening are the TCP ports at which this process listens.
func listening(t *testing.T) []string {
	t.Helper()
	own := make(map[string]bool)
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, file := range files {
		if target, err := os.Readlink("/proc/self/fd/" + file.Name()); err == nil {
			own[target] = true
		}
	}
	var ports []string
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		content, err := os.ReadFile(table)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == "0A" && own["socket:["+fields[9]+"]"] {
				ports = append(ports, fields[1])
			}
		}
	}
	return ports
}

func TestSaysWhyItCannotStart(t *testing.T) {
	first := start(t, documents.Options{})
	_, err := documents.Start(t.Context(), documents.Options{Dir: t.TempDir(), Addr: "unix:" + first.Addr()})
	require.ErrorContains(t, err, "address already in use")
	_, err = documents.Start(t.Context(), documents.Options{Dir: t.TempDir() + "/a[b]"})
	require.ErrorContains(t, err, `a path with a '[' in it`)
	_, err = documents.Start(t.Context(), documents.Options{})
	require.ErrorContains(t, err, "needs a directory")
}

func TestAConnectionThatSpeaksSomethingElseIsEndedAndOthersGoOn(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	s := start(t, documents.Options{Logger: zap.New(core)})
	things := connect(t, s.URI())
	_, err := things.InsertOne(t.Context(), thing{ID: "a"})
	require.NoError(t, err)

	conn, err := net.Dial("unix", s.Addr())
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, conn.Close())
	require.NotEmpty(t, logs.FilterMessage("a client's connection ended").All())

	_, err = things.InsertOne(t.Context(), thing{ID: "b"})
	require.NoError(t, err)
}
