package instance_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// patience is how long a condition may take to come true: far more than it does, so that a busy machine fails no test.
const patience = time.Minute

// timeout is what the workflows of the tests have.
const timeout = 20 * time.Second

// The tests' service takes and gives google.protobuf.StringValue where the payload does not matter, so that a test can
// call it without generated code.
const echoProto = `syntax = "proto3";
package echo;
import "google/protobuf/wrappers.proto";
import "types/stone.proto";
service Echo {
  rpc Say(google.protobuf.StringValue) returns (google.protobuf.StringValue);
  rpc Weigh(types.Stone) returns (types.Weight);
  rpc Unanswered(google.protobuf.StringValue) returns (google.protobuf.StringValue);
}
`

const stoneProto = `syntax = "proto3";
package types;
message Stone { string name = 1; double carat = 2; repeated Stone parts = 3; int64 count = 4; }
message Weight { double grams = 1; string unit_name = 2; int64 count = 3; }
`

var echoPackage = fstest.MapFS{
	"public.proto":      {Data: []byte(echoProto)},
	"types/stone.proto": {Data: []byte(stoneProto)},
}

// world is a broker with the assets of a version, and an instance of its entrypoint.
type world struct {
	t        testing.TB
	nats     *natsServer
	options  instance.Options
	instance *instance.Instance
	logger   *zap.Logger
	logs     *observer.ObservedLogs
	grpc     *grpc.ClientConn
	url      string
	stopped  bool

	grpcAddress string
}

// newWorld has two workflows, say and weigh, each with an entry stream and one consumer. Configure changes the options
// before the instance starts.
func newWorld(t testing.TB, configure ...func(*instance.Options)) *world {
	w := &world{t: t, nats: startNATS(t, 0, t.TempDir())}
	w.options = newWorldOptions(w)
	for _, f := range configure {
		f(&w.options)
	}
	w.prepare()
	w.start()
	require.NoError(t, w.instance.Await(within(t)))
	return w
}

func newWorldOptions(w *world) instance.Options {
	return instance.Options{
		Config: plan.Entrypoint{
			Version: "echo-v1", Proto: "public.proto", ReplyTo: "kre.echo-v1._reply",
			Workflows: []plan.EntrypointTarget{target("say", "Say"), target("weigh", "Weigh")},
		},
		Package: echoPackage,
		Broker:  broker.Options{URL: w.nats.url(), Name: "test"},
		Drain:   patience,
	}
}

func target(workflow, rpc string) plan.EntrypointTarget {
	return plan.EntrypointTarget{
		Name: workflow, ID: workflow, RPC: rpc, Stream: "entry_" + workflow, Subject: "kre.echo-v1." + workflow + ".entry",
		TimeoutMs: timeout.Milliseconds(), Consumers: []plan.Source{{Stream: "entry_" + workflow, Consumer: "node"}},
	}
}

// prepare creates what the plan would.
func (w *world) prepare() {
	js := w.nats.jetstream(w.t)
	for _, workflow := range w.options.Config.Workflows {
		w.createStream(js, workflow, 100_000)
	}
}

func (w *world) createStream(js jetstream.JetStream, workflow plan.EntrypointTarget, maxMsgs int64) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: workflow.Stream, Subjects: []string{workflow.Subject}, Retention: jetstream.InterestPolicy,
		Discard: jetstream.DiscardNew, MaxMsgs: maxMsgs, Duplicates: time.Minute,
	})
	require.NoError(w.t, err)
	for _, consumer := range workflow.Consumers {
		_, err = js.CreateOrUpdateConsumer(ctx, consumer.Stream, jetstream.ConsumerConfig{
			Durable: consumer.Consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 4096,
		})
		require.NoError(w.t, err)
	}
}

// start starts an instance without waiting until it is ready.
func (w *world) start() {
	if w.logger == nil {
		core, logs := observer.New(zapcore.DebugLevel)
		w.logger, w.logs = zap.New(core), logs
	}
	grpcListener, httpListener := listen(w.t), listen(w.t)
	started, err := instance.Start(context.Background(), w.options, grpcListener, httpListener, w.logger)
	require.NoError(w.t, err)
	w.instance = started
	w.url = "http://" + httpListener.Addr().String()
	w.grpcAddress = grpcListener.Addr().String()
	w.t.Cleanup(w.stop)
	conn, err := grpc.NewClient("passthrough:///"+grpcListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	require.NoError(w.t, err)
	w.grpc = conn
	w.t.Cleanup(func() { require.NoError(w.t, conn.Close()) })
}

func (w *world) stop() {
	if w.stopped {
		return
	}
	w.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(w.t, w.instance.Stop(ctx))
}

func listen(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// say calls the workflow of that name over gRPC.
func (w *world) say(ctx context.Context, text string, options ...grpc.CallOption) (string, error) {
	var out wrapperspb.StringValue
	err := w.grpc.Invoke(ctx, "/echo.Echo/Say", wrapperspb.String(text), &out, options...)
	return out.GetValue(), err
}

// natsServer is an embedded broker that can go away and come back.
type natsServer struct {
	*server.Server
	dir string
}

func startNATS(t testing.TB, port int, dir string) *natsServer {
	if port == 0 {
		var err error
		port, err = ports.Pick(nil)
		require.NoError(t, err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 40, NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
	})
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(patience), "the broker starts")
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return &natsServer{Server: s, dir: dir}
}

func (s *natsServer) url() string { return s.ClientURL() }

func (s *natsServer) port() int { return s.Addr().(*net.TCPAddr).Port }

// restart takes the broker away and calls meanwhile before it comes back on the same port with the same files.
func (w *world) restart(meanwhile func()) {
	port := w.nats.port()
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
	meanwhile()
	w.nats = startNATS(w.t, port, w.nats.dir)
}

// received is how many messages the broker has got.
func (s *natsServer) received(t testing.TB) int64 {
	v, err := s.Varz(nil)
	require.NoError(t, err)
	return v.InMsgs
}

func (s *natsServer) connect(t testing.TB) *nats.Conn {
	conn, err := nats.Connect(s.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func (s *natsServer) jetstream(t testing.TB) jetstream.JetStream {
	js, err := jetstream.New(s.connect(t))
	require.NoError(t, err)
	return js
}

// node is a fake node: it takes entry messages off its consumer and does with them what a test says.
type node struct {
	w    *world
	conn *nats.Conn

	mu        sync.Mutex
	confirmed int
}

// entry is an entry message as a node gets it.
type entry struct {
	wire.Message
	node *node
	msg  jetstream.Msg
}

// newNode handles the messages of the workflow's consumer, each in a goroutine of its own.
func (w *world) newNode(workflow string, handle func(e entry)) *node {
	n := &node{w: w, conn: w.nats.connect(w.t)}
	js, err := jetstream.New(n.conn)
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	consumer, err := js.Consumer(ctx, "entry_"+workflow, "node")
	require.NoError(w.t, err)
	var handlers sync.WaitGroup
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		m, err := wire.Parse(msg.Headers(), msg.Data())
		if err != nil {
			w.t.Errorf("entry message: %v", err)
			return
		}
		handlers.Go(func() { handle(entry{Message: m, node: n, msg: msg}) })
	}, jetstream.PullExpiry(time.Second))
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		consuming.Stop()
		<-consuming.Closed() // what had just come has been taken
		handlers.Wait()
	})
	return n
}

// reply sends a reply as an SDK does: again until it is confirmed.
func (e entry) reply(kind wire.Kind, sender string, body []byte) {
	r := wire.Reply{RequestID: e.RequestID, Sender: sender, Kind: kind, Timing: e.Timing.Append(sender, 7*time.Microsecond),
		SentAt: time.Now(), Body: body}
	msg := &nats.Msg{Subject: e.ReplyTo, Header: r.Header(), Data: body}
	if r.IsNote() {
		if err := e.node.conn.PublishMsg(msg); err != nil {
			e.node.w.t.Errorf("publishing a note: %v", err)
		}
		return
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := e.node.conn.RequestMsg(msg, 500*time.Millisecond); err == nil {
			e.node.mu.Lock()
			e.node.confirmed++
			e.node.mu.Unlock()
			return
		}
	}
	e.node.w.t.Errorf("the reply to %s was never confirmed", e.RequestID)
}

func (e entry) ack() {
	if err := e.msg.Ack(); err != nil {
		e.node.w.t.Errorf("acknowledging: %v", err)
	}
}

// text is what a request for Say says.
func (e entry) text() string {
	var body anypb.Any
	var value wrapperspb.StringValue
	if err := proto.Unmarshal(e.Body, &body); err != nil {
		e.node.w.t.Errorf("entry body: %v", err)
	} else if err := body.UnmarshalTo(&value); err != nil {
		e.node.w.t.Errorf("entry body: %v", err)
	}
	return value.GetValue()
}

func (n *node) confirmations() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.confirmed
}

// echo answers with the text of the request and ends the message.
func echo(e entry) {
	e.reply(wire.OK, "exit", textBody(e.text()))
	e.ack()
}

func textBody(text string) []byte { return anyBody(wrapperspb.String(text)) }

func anyBody(message proto.Message) []byte {
	wrapped, err := anypb.New(message)
	if err != nil {
		panic(err)
	}
	body, err := proto.Marshal(wrapped)
	if err != nil {
		panic(err)
	}
	return body
}

func failureBody(node, text string, attempts int, requestID string) []byte {
	body, err := wire.Failure{Node: node, Workflow: "say", RequestID: requestID, MessageID: requestID, Attempts: attempts, Text: text}.Body()
	if err != nil {
		panic(err)
	}
	return body
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// calls are the lines that the log has for calls, by code.
func (w *world) calls(code string) []observer.LoggedEntry {
	return w.logs.FilterMessage("call").Filter(func(e observer.LoggedEntry) bool { return e.ContextMap()["code"] == code }).All()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}
