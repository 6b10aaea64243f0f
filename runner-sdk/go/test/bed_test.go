package test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	patience = time.Minute // for a condition to come true: far more than it takes, so that a busy machine fails no test
	replyTo  = "kre.v1._reply.one"

	entryStream   = "entry_v1_flow"
	entrySubject  = "kre.v1.flow.entry"
	outStream     = "node_v1_flow_n-1"
	outSubject    = "kre.v1.flow.from.n-1.out"
	sideSubject   = "kre.v1.flow.from.n-1.ch.side"
	earlySubject  = "kre.v1.flow.from.n-1.early"
	errorSubject  = "kre.v1.flow.from.n-1.error"
	parcelSubject = "kre.v1.flow.from.n-1.parcel"
	deadStream    = "dead_v1"
	deadSubject   = "kre.v1._dead.flow.n-1"
	startsBucket  = "starts_v1"
)

// bed is a broker with what one node of a version needs: a source, an output that one consumer reads, dead letters.
type bed struct {
	t      testing.TB
	folder string
	port   int
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	next   atomic.Int64 // number of the next request
}

// option changes the output stream before it is made.
type (
	streamConfig = jetstream.StreamConfig
	natsMsg      = nats.Msg
)

type option func(*streamConfig)

func newBed(t testing.TB, options ...option) *bed {
	t.Helper()
	b := &bed{t: t, folder: t.TempDir(), port: -1}
	b.start()
	t.Cleanup(func() { b.server.Shutdown(); b.server.WaitForShutdown() })
	nc, err := nats.Connect(b.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b.nc = nc
	b.js, err = jetstream.New(nc)
	require.NoError(t, err)

	ctx := t.Context()
	out := jetstream.StreamConfig{
		Name: outStream, Subjects: []string{"kre.v1.flow.from.n-1.>"}, Retention: jetstream.InterestPolicy,
		Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 100_000, DiscardNewPerSubject: true, Duplicates: time.Minute,
	}
	for _, o := range options {
		o(&out)
	}
	for _, stream := range []jetstream.StreamConfig{
		{Name: entryStream, Subjects: []string{entrySubject}, Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew},
		out,
		{Name: deadStream, Subjects: []string{"kre.v1._dead.>"}, Duplicates: time.Minute},
	} {
		_, err := b.js.CreateStream(ctx, stream)
		require.NoError(t, err)
	}
	for _, c := range []struct {
		stream, name string
		filters      []string
	}{
		{entryStream, "n-1", nil},
		{outStream, "next", []string{outSubject, sideSubject, earlySubject, errorSubject}},
		{outStream, "_parcels", []string{parcelSubject, parcelSubject + ".part", parcelSubject + ".last"}},
	} {
		_, err := b.js.CreateConsumer(ctx, c.stream, jetstream.ConsumerConfig{
			Durable: c.name, FilterSubjects: c.filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 4096,
		})
		require.NoError(t, err)
	}
	_, err = b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: startsBucket, TTL: time.Hour})
	require.NoError(t, err)
	return b
}

func (b *bed) start() {
	b.t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.folder, NoLog: true, NoSigs: true,
	})
	require.NoError(b.t, err)
	s.Start()
	require.True(b.t, s.ReadyForConnections(patience), "the broker does not start")
	b.server = s
	if b.port == -1 {
		b.port = s.Addr().(*net.TCPAddr).Port
	}
}

// restart ends the broker and starts it again on the same port, with what it had stored.
func (b *bed) restart() {
	b.t.Helper()
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.start()
}

func (b *bed) url() string { return "nats://127.0.0.1:" + strconv.Itoa(b.port) }

// node is the configuration of the node under test.
func (b *bed) node() config.Node {
	return config.Node{
		Version: "v1", Workflow: "flow", Name: "N_1", ID: "n-1", MaxAttempts: 3, TimeoutMs: 30_000, OnPath: true,
		Sources: []config.Source{{Stream: entryStream, Consumer: "n-1"}},
		Output: &config.Output{
			Stream: outStream, Error: errorSubject,
			Channels: map[string]string{"": outSubject, "side": sideSubject},
			Early:    map[string]string{"": earlySubject},
		},
		Parcels: &config.Parcels{
			Source:  config.Source{Stream: outStream, Consumer: "_parcels"},
			Subject: parcelSubject, Part: parcelSubject + ".part", Last: parcelSubject + ".last",
		},
		DeadLetters: config.DeadLetters{Stream: deadStream, Subject: deadSubject},
		Starts:      startsBucket,
	}
}

// exitpoint is that of a node to which nobody subscribes and which answers the caller.
func (b *bed) exitpoint() config.Node {
	node := b.node()
	node.Exitpoint, node.Output, node.Parcels = true, nil, nil
	return node
}

// request is the message of a caller, not stored yet.
func (b *bed) request(body proto.Message) wire.Message {
	b.t.Helper()
	id := fmt.Sprintf("01JD7QZ8X5N3V9T4B6K2M0%04d", b.next.Add(1))
	return wire.Message{
		ID: id, RequestID: id, Sender: wire.SenderEntrypoint, Kind: wire.OK, ReplyTo: replyTo,
		Timeout: 30 * time.Second, Label: "my order", Traceparent: "00-1-2-03", Tracestate: "a=b", Body: pack(b.t, body),
	}
}

// send stores a message for the node.
func (b *bed) send(m wire.Message) wire.Message {
	b.t.Helper()
	b.store(entrySubject, m.ID, m)
	return m
}

// ask stores the message of a caller for the node.
func (b *bed) ask(text string) wire.Message {
	b.t.Helper()
	return b.send(b.request(wrapperspb.String(text)))
}

// stored is a message of a stream.
type stored struct {
	wire.Message
	subject string
	header  nats.Header
}

func (s stored) text(t testing.TB) string {
	t.Helper()
	return unpack(t, s.Body)
}

// outputs waits for n messages at the consumer behind the node, and acknowledges them.
func (b *bed) outputs(n int) []stored {
	b.t.Helper()
	return b.read(outStream, "next", n)
}

// deadLetters waits for n dead letters and makes sure that there are no more.
func (b *bed) deadLetters(n int) []stored {
	b.t.Helper()
	b.eventually(func() bool { return b.state(deadStream).Msgs >= uint64(n) }, "%d dead letters", n)
	require.EqualValues(b.t, n, b.state(deadStream).Msgs)
	stream, err := b.js.Stream(b.t.Context(), deadStream)
	require.NoError(b.t, err)
	var letters []stored
	for i := 1; i <= n; i++ {
		msg, err := stream.GetMsg(b.t.Context(), uint64(i))
		require.NoError(b.t, err)
		m, err := wire.Parse(msg.Header, msg.Data)
		require.NoError(b.t, err)
		letters = append(letters, stored{Message: m, subject: msg.Subject, header: msg.Header})
	}
	return letters
}

func (b *bed) read(stream, consumer string, n int) []stored {
	b.t.Helper()
	c, err := b.js.Consumer(b.t.Context(), stream, consumer)
	require.NoError(b.t, err)
	var all []stored
	for deadline := time.Now().Add(patience); len(all) < n; {
		require.True(b.t, time.Now().Before(deadline), "stream %s: %d messages, want %d", stream, len(all), n)
		batch, err := c.Fetch(n-len(all), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			continue
		}
		for msg := range batch.Messages() {
			m, err := wire.Parse(msg.Headers(), msg.Data())
			require.NoError(b.t, err)
			require.NoError(b.t, msg.Ack())
			all = append(all, stored{Message: m, subject: msg.Subject(), header: msg.Headers()})
		}
	}
	return all
}

func (b *bed) state(stream string) jetstream.StreamState {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	require.NoError(b.t, err)
	return s.CachedInfo().State
}

// subjects counts the messages on each subject of the output stream.
func (b *bed) subjects() map[string]uint64 {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), outStream)
	require.NoError(b.t, err)
	info, err := s.Info(b.t.Context(), jetstream.WithSubjectFilter(">"))
	require.NoError(b.t, err)
	return info.State.Subjects
}

// empty waits until nothing is stored any more behind the node.
func (b *bed) empty() {
	b.t.Helper()
	b.eventually(func() bool { return b.state(outStream).Msgs == 0 }, "nothing is left in the output stream")
}

// settled waits until the node has acknowledged everything it was sent.
func (b *bed) settled() {
	b.t.Helper()
	b.eventually(func() bool {
		c, err := b.js.Consumer(b.t.Context(), entryStream, "n-1")
		if err != nil {
			return false
		}
		info := c.CachedInfo()
		return info.Delivered.Stream >= b.state(entryStream).LastSeq && info.NumPending == 0 && info.NumAckPending == 0
	}, "every message is acknowledged")
}

func (b *bed) eventually(condition func() bool, what string, args ...any) {
	b.t.Helper()
	require.Eventuallyf(b.t, condition, patience, 5*time.Millisecond, "waiting until "+what, args...)
}

func pack(t testing.TB, message proto.Message) []byte {
	t.Helper()
	wrapped, err := anypb.New(message)
	require.NoError(t, err)
	data, err := proto.Marshal(wrapped)
	require.NoError(t, err)
	return data
}

func unpack(t testing.TB, body []byte) string {
	t.Helper()
	var wrapped anypb.Any
	require.NoError(t, proto.Unmarshal(body, &wrapped))
	var text wrapperspb.StringValue
	require.NoError(t, wrapped.UnmarshalTo(&text))
	return text.GetValue()
}

func mustNotExist(t testing.TB, path string) {
	t.Helper()
	_, err := os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// resend stores a message a second time, past the broker's knowledge of its id, as if it had never been acknowledged.
func (b *bed) resend(m wire.Message) {
	b.t.Helper()
	_, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: entrySubject, Header: m.Header(), Data: m.Body})
	require.NoError(b.t, err)
}

// store stores a message on a subject under the broker's id.
func (b *bed) store(subject, id string, m wire.Message) {
	b.t.Helper()
	header := nats.Header(m.Header())
	header.Set(nats.MsgIdHdr, id)
	_, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: m.Body})
	require.NoError(b.t, err)
}
