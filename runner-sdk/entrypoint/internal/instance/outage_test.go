//go:build linux

package instance_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/smalldisk"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
)

const statusSubject = "kre.echo-v1._status.entrypoint.entrypoint"

// watched is a world whose instance looks whether requests can be stored, and what it tells of that.
func watched(t *testing.T, dir string) (*world, *troubles) {
	t.Helper()
	w := &world{t: t, nats: startNATS(t, 0, dir)}
	w.options = newWorldOptions(w)
	w.options.Config.Status = statusSubject
	w.prepare()
	w.start()
	require.NoError(t, w.instance.Await(within(t)))
	ctx, end := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := w.instance.Watch(ctx); err != nil {
			t.Errorf("watching: %v", err)
		}
	})
	t.Cleanup(func() { end(); watching.Wait() })
	told := &troubles{}
	_, err := w.nats.connect(t).Subscribe(statusSubject, told.note)
	require.NoError(t, err)
	return w, told
}

// troubles is what an instance has told of itself.
type troubles struct {
	mu   sync.Mutex
	last string
	any  bool
}

func (o *troubles) note(msg *nats.Msg) {
	var message struct {
		Workflow, Node, Trouble string
		Replica                 string `json:"replica_id"`
	}
	if json.Unmarshal(msg.Data, &message) != nil || message.Workflow != "entrypoint" || message.Node != "entrypoint" || message.Replica == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last, o.any = message.Trouble, true
}

func (o *troubles) are(want string) func() bool {
	return func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.any && (want == "" && o.last == "" || want != "" && strings.Contains(o.last, want))
	}
}

// refused waits until calls are refused at once, and returns the error.
func (w *world) refused(t *testing.T) error {
	t.Helper()
	_, err := w.say(within(t), "hello")
	require.Equal(t, exchange.ReasonNotStored, exchange.Reason(err), "%v", err)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "the request cannot be stored: ")
	return err
}

// works waits until calls are answered again.
func (w *world) works(t *testing.T) {
	t.Helper()
	eventually(t, "calls are answered again", func() bool {
		got, err := w.say(within(t), "again")
		return err == nil && got == "again"
	})
}

func TestABrokerWithoutJetStreamIsAnOutageThatIsToldAndEnds(t *testing.T) {
	w, told := watched(t, t.TempDir())
	w.newNode("say", echo)
	port, dir := w.nats.port(), w.nats.dir
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
	bare, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	require.NoError(t, err)
	bare.Start()
	t.Cleanup(func() { bare.Shutdown(); bare.WaitForShutdown() })
	require.True(t, bare.ReadyForConnections(patience))

	eventually(t, "the connection is there again", w.instance.BrokerConnected)
	require.ErrorContains(t, w.refused(t), "the broker stores nothing at present")
	eventually(t, "it is told", told.are("requests are refused: the broker stores nothing at present"))

	bare.Shutdown()
	bare.WaitForShutdown()
	w.nats = startNATS(t, port, dir)
	w.works(t)
	eventually(t, "it is told that it is over", told.are(""))
}

func TestAStreamThatIsGoneIsAnOutage(t *testing.T) {
	w, told := watched(t, t.TempDir())
	js := w.nats.jetstream(t)
	require.NoError(t, js.DeleteStream(within(t), "entry_say"))
	require.ErrorContains(t, w.refused(t), "stream entry_say: stream not found")
	eventually(t, "it is told", told.are("stream entry_say"))
	w.createStream(js, w.options.Config.Workflows[0], 100)
	w.newNode("say", echo)
	w.works(t)
}

// nats-server is silent about what it cannot write, for as long as it runs.
func TestAStreamWhoseDiskIsFullIsAnOutageUntilTheBrokerIsStartedAgain(t *testing.T) {
	dir := smalldisk.New(t, 8)
	w, told := watched(t, dir)
	js := w.nats.jetstream(t)
	for full := false; !full; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := js.Publish(ctx, w.options.Config.Workflows[0].Subject, make([]byte, 900<<10))
		cancel()
		full = err != nil
	}
	require.ErrorContains(t, w.refused(t), "stream entry_say loses what it is sent")
	eventually(t, "it is told", told.are("stream entry_say loses"))

	port := w.nats.port()
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
	smalldisk.Resize(t, dir, 64)
	w.nats = startNATS(t, port, dir)
	stream, err := w.nats.jetstream(t).Stream(within(t), "entry_say")
	require.NoError(t, err)
	require.NoError(t, stream.Purge(within(t)))
	w.newNode("say", echo)
	w.works(t)
	eventually(t, "it is told that it is over", told.are(""))
}
