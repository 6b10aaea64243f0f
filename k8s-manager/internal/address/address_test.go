package address_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/k8s-manager/internal/address"
)

// named answers each line with its name and the line.
func named(name string) func(conn net.Conn) {
	return func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if _, err := fmt.Fprintf(conn, "%s %s\n", name, lines.Text()); err != nil {
				return
			}
		}
	}
}

// client is a connection over which lines are answered.
type client struct {
	t testing.TB
	net.Conn
	lines *bufio.Reader
}

func dial(t testing.TB, to string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", to)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, Conn: conn, lines: bufio.NewReader(conn)}
}

func (c *client) ask(text string) string {
	c.t.Helper()
	_, err := fmt.Fprintln(c, text)
	require.NoError(c.t, err)
	line, err := c.lines.ReadString('\n')
	require.NoError(c.t, err)
	return strings.TrimSuffix(line, "\n")
}

func TestBothPortsLeadWhereTheFileSays(t *testing.T) {
	grpcTarget, httpTarget := listen(t, anywhere(t), named("grpc")), listen(t, anywhere(t), named("http"))
	target := address.Target{GRPC: grpcTarget.Addr().String(), HTTP: httpTarget.Addr().String()}
	h := hold(t, &target)
	require.Equal(t, target, h.acknowledged())
	require.Equal(t, "grpc hello", dial(t, h.GRPC).ask("hello"))
	require.Equal(t, "http hello", dial(t, h.HTTP).ask("hello"))
}

func TestAChangeOfTheFileLeadsNewConnectionsElsewhereAndLeavesOpenOnesAlone(t *testing.T) {
	a, b := listen(t, anywhere(t), named("a")), listen(t, anywhere(t), named("b"))
	h := hold(t, &address.Target{HTTP: a.Addr().String()})
	open := dial(t, h.HTTP)
	require.Equal(t, "a 1", open.ask("1"))
	for range 3 {
		h.lead(address.Target{HTTP: b.Addr().String()})
		require.Equal(t, "b 2", dial(t, h.HTTP).ask("2"))
		h.lead(address.Target{HTTP: a.Addr().String()})
		require.Equal(t, "a 3", dial(t, h.HTTP).ask("3"))
	}
	require.Equal(t, "a 4", open.ask("4"))
}

func TestTheEndOfOneDirectionIsTheEndOfThatDirectionOnly(t *testing.T) {
	// It answers when it has read everything.
	summing := listen(t, anywhere(t), func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		all, err := io.ReadAll(conn)
		if err != nil {
			return
		}
		sum := sha256.Sum256(all)
		_, _ = conn.Write(append(sum[:], all...))
	})
	h := hold(t, &address.Target{HTTP: summing.Addr().String()})
	body := make([]byte, 5<<20)
	_, err := rand.Read(body)
	require.NoError(t, err)
	conn := dial(t, h.HTTP)
	_, err = conn.Write(body)
	require.NoError(t, err)
	require.NoError(t, conn.Conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	sum := sha256.Sum256(body)
	require.True(t, bytes.Equal(append(sum[:], body...), answer))
}

func TestATargetThatRestartsRefusesNobody(t *testing.T) {
	first := listen(t, anywhere(t), named("first"))
	at := first.Addr().String()
	h := hold(t, &address.Target{HTTP: at})
	require.Equal(t, "first 1", dial(t, h.HTTP).ask("1"))
	require.NoError(t, first.Close())
	waiting := dial(t, h.HTTP)
	_, err := fmt.Fprintln(waiting, "2")
	require.NoError(t, err)
	listen(t, at, named("second"))
	line, err := waiting.lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "second 2\n", line)
}

func TestWhoWaitsForATargetThatDoesNotAnswerIsLedToTheNextOne(t *testing.T) {
	gone := listen(t, anywhere(t), named("gone"))
	require.NoError(t, gone.Close())
	h := hold(t, &address.Target{HTTP: gone.Addr().String()})
	waiting := dial(t, h.HTTP)
	_, err := fmt.Fprintln(waiting, "1")
	require.NoError(t, err)
	next := listen(t, anywhere(t), named("next"))
	h.lead(address.Target{HTTP: next.Addr().String()})
	line, err := waiting.lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "next 1\n", line)
}

// get asks over HTTP on a connection of its own.
func get(t testing.TB, at string) (code int, body string, closed bool) {
	t.Helper()
	answer, err := http.Get("http://" + at + "/any/path")
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode, string(text), answer.Close
}

func check(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func dialGRPC(t testing.TB, to string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestNowhereIsToldInASentenceUntilSomethingIsPublished(t *testing.T) {
	h := hold(t, nil)
	require.Equal(t, address.Target{}, h.acknowledged())
	code, body, closed := get(t, h.HTTP)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, `{"code":"unavailable","message":"no version is published"}`+"\n", body)
	require.True(t, closed)
	conn := dialGRPC(t, h.GRPC)
	err := check(conn)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, "no version is published", status.Convert(err).Message())

	// Something is published: also who is connected already comes to it.
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()
	web := listen(t, anywhere(t), named("web"))
	h.lead(address.Target{GRPC: listener.Addr().String(), HTTP: web.Addr().String()})
	require.Equal(t, "web 1", dial(t, h.HTTP).ask("1"))
	eventually(t, "it has moved", func() bool { return check(conn) == nil })
	for range 20 {
		require.NoError(t, check(conn))
	}

	// And nothing again.
	require.NoError(t, os.Remove(h.file))
	eventually(t, "it is acknowledged", func() bool { return h.acknowledged() == address.Target{} })
	code, _, _ = get(t, h.HTTP)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NoError(t, check(conn), "who is connected stays")
	require.Equal(t, codes.Unavailable, status.Code(check(dialGRPC(t, h.GRPC))))
}

func TestAFileThatCannotBeReadChangesNothing(t *testing.T) {
	target := listen(t, anywhere(t), named("it"))
	h := hold(t, &address.Target{HTTP: target.Addr().String()})
	require.NoError(t, os.WriteFile(h.file, []byte("{"), 0o600))
	eventually(t, "it complains", func() bool { return strings.Contains(h.output(), "it goes on as it was") })
	require.Equal(t, "it 1", dial(t, h.HTTP).ask("1"))
	next := listen(t, anywhere(t), named("next"))
	h.lead(address.Target{HTTP: next.Addr().String()})
	require.Equal(t, 1, strings.Count(h.output(), "it goes on as it was"))
}

func TestAtItsEndItLetsOpenConnectionsEnd(t *testing.T) {
	began, goOn := make(chan struct{}, 1000), make(chan struct{})
	slow := listen(t, anywhere(t), func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		began <- struct{}{}
		<-goOn
		_, _ = io.WriteString(conn, "late\n")
	})
	h := hold(t, &address.Target{HTTP: slow.Addr().String()})
	conn := dial(t, h.HTTP)
	<-began
	code := make(chan int, 1)
	go func() { code <- h.end() }()
	eventually(t, "it takes no connection any more", func() bool {
		other, err := net.Dial("tcp", h.HTTP)
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	close(goOn)
	line, err := conn.lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "late\n", line)
	require.NoError(t, conn.Close())
	require.Zero(t, <-code)
}
