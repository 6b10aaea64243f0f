package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
)

const control = "kre.echo-v1._control.entrypoint"

func withControl(o *instance.Options) { o.Config.Control = control }

// tell sends a command to the instance as runtime-api does, and returns what it reports.
func (w *world) tell(command string) instance.Report {
	w.t.Helper()
	conn := w.nats.connect(w.t)
	defer conn.Close()
	answer, err := conn.RequestWithContext(within(w.t), control, []byte(`{"command": "`+command+`"}`))
	require.NoError(w.t, err)
	var report instance.Report
	require.NoError(w.t, json.Unmarshal(answer.Data, &report))
	require.NotEmpty(w.t, report.Instance)
	return report
}

func (w *world) healthy() healthpb.HealthCheckResponse_ServingStatus {
	w.t.Helper()
	answer, err := healthpb.NewHealthClient(w.grpc).Check(within(w.t), &healthpb.HealthCheckRequest{})
	require.NoError(w.t, err)
	return answer.GetStatus()
}

func TestAClosedInstanceRefusesNewCallsAnswersThoseThatWaitAndOpensAgain(t *testing.T) {
	w := newWorld(t, withControl)
	hold, arrived := make(chan struct{}), make(chan struct{}, 1)
	w.newNode("say", func(e entry) {
		if e.text() == "before" {
			arrived <- struct{}{}
			<-hold
		}
		echo(e)
	})
	before := make(chan error, 1)
	go func() {
		_, err := w.say(within(t), "before")
		before <- err
	}()
	<-arrived
	require.Equal(t, 1, w.tell("report").Waiting)
	report := w.tell("close")
	require.True(t, report.Closed)
	require.Equal(t, 1, report.Waiting)

	_, err := w.say(within(t), "after")
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, "the version is stopping and takes no new requests", status.Convert(err).Message())
	got := w.send("POST", "/echo.Echo/Say", `"after"`, asJSON)
	require.Equal(t, http.StatusServiceUnavailable, got.code)
	require.Equal(t, http.StatusServiceUnavailable, w.send("GET", "/readyz", "").code)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, w.healthy())

	close(hold)
	require.NoError(t, <-before)
	eventually(t, "nobody waits", func() bool { return w.tell("report").Waiting == 0 })
	require.False(t, w.tell("open").Closed)
	got = w.send("POST", "/echo.Echo/Say", `"again"`, asJSON)
	require.Equal(t, `"again"`, got.body)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, w.healthy())
}

func TestAClosedInstanceThatIsToldToEndEnds(t *testing.T) {
	w := newWorld(t, withControl)
	w.tell("close")
	w.stop()
}

func TestACommandThatIsNoneIsAnsweredWithWhatWouldBeOne(t *testing.T) {
	w := newWorld(t, withControl)
	require.Equal(t, `command "dance": want report, move, close or open`, w.tell("dance").Error)
	answer, err := w.nats.connect(t).RequestWithContext(within(t), control, []byte("what?"))
	require.NoError(t, err)
	require.Contains(t, string(answer.Data), "invalid character")
	require.True(t, w.instance.Ready())
}

func TestEveryInstanceAnswersForItself(t *testing.T) {
	one := newWorld(t, withControl)
	two := &world{t: t, nats: one.nats, options: one.options}
	two.start()
	require.NoError(t, two.instance.Await(within(t)))
	conn := one.nats.connect(t)
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	require.NoError(t, err)
	instances := make(map[string]bool)
	require.NoError(t, conn.PublishRequest(control, inbox, []byte(`{"command": "report"}`)))
	for range 2 {
		answer, err := answers.NextMsg(patience)
		require.NoError(t, err)
		var report instance.Report
		require.NoError(t, json.Unmarshal(answer.Data, &report))
		instances[report.Instance] = true
	}
	require.Len(t, instances, 2)
}

// hammer calls until stop is called, and reports each call that fails.
func hammer(t *testing.T, clients int, once func(text string) error) (calls *atomic.Int64, stop func()) {
	calls = new(atomic.Int64)
	over := make(chan struct{})
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				if err := once(fmt.Sprintf("%d/%d", client, i)); err != nil {
					t.Errorf("client %d, call %d: %v", client, i, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	return calls, func() { close(over); all.Wait() }
}

func (w *world) dial() *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+w.grpcAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Errorf("dialling: %v", err)
	}
	return conn
}

// ask posts a request with a client, and returns the answer without its body.
func (w *world) ask(client *http.Client, text string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+"/echo.Echo/Say", strings.NewReader(`"`+text+`"`))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if closing := answer.Body.Close(); err == nil {
		err = closing
	}
	if err == nil && string(bytes.TrimSpace(body)) != `"`+text+`"` {
		err = fmt.Errorf("got %d %s", answer.StatusCode, body)
	}
	return answer, err
}

func TestMovingFailsNoCallWhateverTheClient(t *testing.T) {
	http2 := new(http.Protocols)
	http2.SetUnencryptedHTTP2(true)
	for name, client := range map[string]func(w *world) func(text string) error{
		"gRPC on one connection": func(w *world) func(string) error {
			return func(text string) error {
				_, err := w.say(within(t), text)
				return err
			}
		},
		"gRPC on fresh connections": func(w *world) func(string) error {
			return func(text string) error {
				conn := w.dial()
				defer func() { _ = conn.Close() }()
				return conn.Invoke(within(t), "/echo.Echo/Say", wrapperspb.String(text), new(wrapperspb.StringValue))
			}
		},
		"HTTP on connections that are kept": func(w *world) func(string) error {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
			t.Cleanup(client.CloseIdleConnections)
			return func(text string) error { _, err := w.ask(client, text); return err }
		},
		"HTTP on fresh connections": func(w *world) func(string) error {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			return func(text string) error { _, err := w.ask(client, text); return err }
		},
		"HTTP/2": func(w *world) func(string) error {
			client := &http.Client{Transport: &http.Transport{Protocols: http2}}
			t.Cleanup(client.CloseIdleConnections)
			return func(text string) error { _, err := w.ask(client, text); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withControl)
			w.newNode("say", echo)
			calls, stop := hammer(t, 8, client(w))
			for range 15 {
				before := calls.Load()
				w.tell("move")
				eventually(t, "calls go on", func() bool { return t.Failed() || calls.Load() > before+20 })
			}
			stop()
		})
	}
}

func TestMovingLeadsConnectionsToTheirEnd(t *testing.T) {
	w := newWorld(t, withControl)
	w.newNode("say", echo)
	_, err := w.say(within(t), "hello")
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	answer, err := w.ask(client, "hello")
	require.NoError(t, err)
	require.False(t, answer.Close)
	// The gRPC connection, which waits for nothing, may have ended before it is counted.
	require.Contains(t, []int{1, 2}, w.tell("move").Moving)
	eventually(t, "the gRPC connection ends by itself", func() bool { return w.tell("report").Moving == 1 })
	answer, err = w.ask(client, "hello")
	require.NoError(t, err)
	require.True(t, answer.Close, "the connection ends with the next answer")
	eventually(t, "the HTTP connection has ended", func() bool { return w.tell("report").Moving == 0 })
	answer, err = w.ask(client, "hello")
	require.NoError(t, err)
	// It is told to go once more if it came before the move was made a second time.
	eventually(t, "a new connection stays", func() bool {
		answer, err = w.ask(client, "hello")
		return err == nil && !answer.Close
	})
}

func TestACallThatWaitsWhileItsConnectionIsMovedIsAnswered(t *testing.T) {
	w := newWorld(t, withControl)
	hold := make(chan struct{})
	arrived := make(chan struct{}, 2)
	w.newNode("say", func(e entry) { arrived <- struct{}{}; <-hold; echo(e) })
	answers := make(chan error, 2)
	go func() {
		_, err := w.say(within(t), "hello")
		answers <- err
	}()
	closed := make(chan bool, 1)
	go func() {
		answer, err := w.ask(http.DefaultClient, "hello")
		closed <- err == nil && answer.Close
		answers <- err
	}()
	<-arrived
	<-arrived
	w.tell("move")
	close(hold)
	require.NoError(t, <-answers)
	require.NoError(t, <-answers)
	require.True(t, <-closed, "what was asked before the move is told, too")
	eventually(t, "both connections have ended", func() bool { return w.tell("report").Moving == 0 })
}

func TestAnswersAreAwaitedUnderTheInboxOfTheConfiguration(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.Config.Inbox = "_INBOX.echo-v1" })
	entries := make(chan *nats.Msg, 1)
	conn := w.nats.connect(t)
	_, err := conn.ChanSubscribe("kre.echo-v1.say.entry", entries)
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	w.newNode("say", echo)
	_, err = w.say(within(t), "hello")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix((<-entries).Reply, "_INBOX.echo-v1."))
}
