package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/kit/ports"
)

// serve names the operator's folder that a child of this test serves.
const serve = "KRE_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serve); dir != "" {
		o, err := broker.InitOperator(dir)
		if err == nil {
			var b *broker.Broker
			if b, err = broker.StartOperator(context.Background(), o, broker.OperatorOptions{}); err == nil {
				fmt.Println(b.URL())
				select {} // until it is killed
			}
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is for a machine that has a lot to do.
const patience = time.Minute

func initOperator(t *testing.T) *broker.Operator {
	t.Helper()
	o, err := broker.InitOperator(filepath.Join(t.TempDir(), "operator"))
	require.NoError(t, err)
	return o
}

func startOperator(t *testing.T, o *broker.Operator) *broker.Broker {
	t.Helper()
	b, err := broker.StartOperator(t.Context(), o, broker.OperatorOptions{})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	return b
}

func system(t *testing.T, o *broker.Operator, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserCredentials(o.SystemCreds()))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// account is one that a test made.
type account struct {
	id   string
	key  nkeys.KeyPair
	user nats.Option // how to connect as one of its users
}

func operatorKey(t *testing.T, o *broker.Operator) nkeys.KeyPair {
	t.Helper()
	seed, err := os.ReadFile(o.SeedFile())
	require.NoError(t, err)
	operator, err := nkeys.FromSeed(seed)
	require.NoError(t, err)
	return operator
}

// push makes an account with JetStream and pushes it to the server, as k8s-manager does for a runtime.
func push(t *testing.T, o *broker.Operator, sys *nats.Conn) account {
	t.Helper()
	key, err := nkeys.CreateAccount()
	require.NoError(t, err)
	id, err := key.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(id)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1, MaxAckPending: -1}
	token, err := claims.Encode(operatorKey(t, o))
	require.NoError(t, err)
	request(t, sys, "$SYS.REQ.CLAIMS.UPDATE", token)

	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	userID, err := user.PublicKey()
	require.NoError(t, err)
	userToken, err := jwt.NewUserClaims(userID).Encode(key)
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	return account{id: id, key: key, user: nats.UserJWTAndSeed(userToken, string(seed))}
}

// request asks the server something and wants code 200.
func request(t *testing.T, sys *nats.Conn, subject, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := sys.RequestWithContext(ctx, subject, []byte(body))
	require.NoError(t, err)
	var told struct {
		Data struct{ Code int }
	}
	require.NoError(t, json.Unmarshal(answer.Data, &told), string(answer.Data))
	require.Equal(t, 200, told.Data.Code, string(answer.Data))
}

func store(t *testing.T, url string, a account, stream, body string) {
	t.Helper()
	nc, err := nats.Connect(url, a.user)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{"things"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "things", []byte(body))
	require.NoError(t, err)
}

func stored(t *testing.T, url string, a account, stream string) []string {
	t.Helper()
	nc, err := nats.Connect(url, a.user)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	found := []string{}
	for i := range s.CachedInfo().State.Msgs {
		msg, err := s.GetMsg(t.Context(), i+1)
		require.NoError(t, err)
		found = append(found, string(msg.Data))
	}
	return found
}

func TestAnOperatorIsMadeOnceAndForItsOwnersEyesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "operator")
	first, err := broker.InitOperator(dir)
	require.NoError(t, err)
	before := operatorKey(t, first)
	second, err := broker.InitOperator(dir)
	require.NoError(t, err)
	require.Equal(t, before, operatorKey(t, second))
	require.NoError(t, second.WriteConfig(broker.Mount{}))

	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		assert.Zerof(t, info.Mode().Perm()&0o077, "%s is %s", path, info.Mode())
		return nil
	}))
}

func TestAnOperatorThatWasInterruptedIsMadeAnew(t *testing.T) {
	o := initOperator(t)
	require.NoError(t, os.Remove(o.SeedFile()))
	o, err := broker.InitOperator(o.Dir())
	require.NoError(t, err)
	b := startOperator(t, o)
	push(t, o, system(t, o, b.URL()))
}

func TestAnAccountThatIsPushedHasStreamsOfItsOwn(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	sys := system(t, o, b.URL())
	first, second := push(t, o, sys), push(t, o, sys)
	store(t, b.URL(), first, "s", "of the first")
	store(t, b.URL(), second, "s", "of the second")
	require.Equal(t, []string{"of the first"}, stored(t, b.URL(), first, "s"))
	require.Equal(t, []string{"of the second"}, stored(t, b.URL(), second, "s"))
}

func TestAUserOfABearerTokenNeedsNoSignature(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	a := push(t, o, system(t, o, b.URL()))
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewUserClaims(id)
	claims.BearerToken = true
	token, err := claims.Encode(a.key)
	require.NoError(t, err)
	nc, err := nats.Connect(b.URL(), nats.UserJWT(
		func() (string, error) { return token, nil },
		func([]byte) ([]byte, error) { return nil, nil },
	))
	require.NoError(t, err)
	nc.Close()
}

func TestNobodyEntersWithoutAnAccountOfTheOperator(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	_, err := nats.Connect(b.URL())
	require.ErrorIs(t, err, nats.ErrAuthorization)

	other := initOperator(t)
	_, err = nats.Connect(b.URL(), nats.UserCredentials(other.SystemCreds()))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestAnAccountThatIsRemovedIsClosedToItsUsers(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	sys := system(t, o, b.URL())
	a := push(t, o, sys)
	store(t, b.URL(), a, "s", "x")

	operator := operatorKey(t, o)
	operatorID, err := operator.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewGenericClaims(operatorID)
	claims.Data["accounts"] = []string{a.id}
	token, err := claims.Encode(operator)
	require.NoError(t, err)
	request(t, sys, "$SYS.REQ.CLAIMS.DELETE", token)
	_, err = nats.Connect(b.URL(), a.user)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = os.Stat(filepath.Join(o.Dir(), "accounts", a.id+".jwt"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAccountsAndTheirStreamsAreThereAfterARestart(t *testing.T) {
	o := initOperator(t)
	b, err := broker.StartOperator(t.Context(), o, broker.OperatorOptions{})
	require.NoError(t, err)
	sys := system(t, o, b.URL())
	a := push(t, o, sys)
	store(t, b.URL(), a, "s", "kept")
	sys.Close()
	b.Stop()

	again, err := broker.InitOperator(o.Dir())
	require.NoError(t, err)
	b = startOperator(t, again)
	require.Equal(t, []string{"kept"}, stored(t, b.URL(), a, "s"))
}

func TestKeepsWhatItConfirmedWhenItsProcessIsKilled(t *testing.T) {
	o := initOperator(t)
	var a account
	const rounds = 3
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), serve+"="+o.Dir())
		var stderr strings.Builder
		child.Stderr = &stderr
		stdout, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		url, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)
		url = strings.TrimSpace(url)
		if round == 0 {
			a = push(t, o, system(t, o, url))
		}
		store(t, url, a, "s", strconv.Itoa(round))
		require.NoError(t, child.Process.Kill())
		require.Error(t, child.Wait())
		require.Empty(t, stderr.String())
	}
	require.Equal(t, []string{"0", "1", "2"}, stored(t, startOperator(t, o).URL(), a, "s"))
}

func TestStreamsAreWhereTheyAreTold(t *testing.T) {
	o := initOperator(t)
	elsewhere := filepath.Join(t.TempDir(), "streams")
	b, err := broker.StartOperator(t.Context(), o, broker.OperatorOptions{StoreDir: elsewhere})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	store(t, b.URL(), push(t, o, system(t, o, b.URL())), "s", "x")
	require.DirExists(t, elsewhere)
	require.NoDirExists(t, filepath.Join(o.Dir(), "jetstream"))
}

func TestTakesLargeMessagesAndManyOpenBatchesInOperatorMode(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	a := push(t, o, system(t, o, b.URL()))
	nc, err := nats.Connect(b.URL(), a.user)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	takesLargeMessages(t, nc)
	holdsManyBatchesOpen(t, nc)
}

// TestANatsServerOfItsOwnRunsWithTheConfiguration needs the nats-server that the Makefile builds.
func TestANatsServerOfItsOwnRunsWithTheConfiguration(t *testing.T) {
	program := os.Getenv("KRE_TEST_NATS_SERVER")
	if program == "" {
		program = "nats-server"
	}
	program, err := exec.LookPath(program)
	require.NoError(t, err, "set KRE_TEST_NATS_SERVER to a nats-server; `make test` does")

	o := initOperator(t)
	b := startOperator(t, o)
	sys := system(t, o, b.URL())
	a := push(t, o, sys)
	store(t, b.URL(), a, "s", "from the embedded one")
	sys.Close()
	b.Stop()

	// As in a container: the folder alone, at another place.
	mount := filepath.Join(t.TempDir(), "mount")
	require.NoError(t, os.Symlink(o.Dir(), mount))
	port := freePort(t)
	require.NoError(t, o.WriteConfig(broker.Mount{Path: mount, Port: port}))
	text, err := os.ReadFile(filepath.Join(o.Dir(), "nats.conf"))
	require.NoError(t, err)
	require.NotContains(t, string(text), o.Dir())

	var log strings.Builder
	server := exec.Command(program, "-c", filepath.Join(mount, "nats.conf"))
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	url := "nats://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	connected := make(chan struct{})
	nc, err := nats.Connect(url, a.user, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.ConnectHandler(func(*nats.Conn) { close(connected) }))
	require.NoError(t, err)
	defer nc.Close()
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		if server.Process.Kill() == nil {
			assert.Error(t, <-ended)
		}
	})
	select {
	case <-connected:
	case err := <-ended:
		require.FailNow(t, "nats-server ended", "%v\n%s", err, log.String())
	case <-time.After(patience):
		require.FailNow(t, "nats-server takes no connections")
	}
	takesLargeMessages(t, nc)
	holdsManyBatchesOpen(t, nc)
	require.Equal(t, []string{"from the embedded one"}, stored(t, url, a, "s"))
	push(t, o, system(t, o, url))
	require.NoError(t, server.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	if err := <-ended; err != nil {
		require.ErrorAs(t, err, &exit) // 1, which is how it ends by a signal
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return port
}

func TestTakesATokenWithManyPermissions(t *testing.T) {
	o := initOperator(t)
	b := startOperator(t, o)
	a := push(t, o, system(t, o, b.URL()))
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	id, err := user.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewUserClaims(id)
	for i := range 2000 {
		claims.Permissions.Sub.Allow.Add("kre.some-version.some-workflow.some-node." + strconv.Itoa(i))
	}
	token, err := claims.Encode(a.key)
	require.NoError(t, err)
	require.Greater(t, len(token), 100_000)
	seed, err := user.Seed()
	require.NoError(t, err)
	nc, err := nats.Connect(b.URL(), nats.UserJWTAndSeed(token, string(seed)))
	require.NoError(t, err)
	nc.Close()
}
