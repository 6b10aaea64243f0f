package spec_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	patience = time.Minute // for a condition to come true: far more than it takes, so that a busy machine fails no test
	look     = 5 * time.Millisecond
)

// version is a broker with everything the plan of manifest.yml asks for.
type version struct {
	t      *testing.T
	plan   *plan.Plan
	folder string
	port   int
	broker *exec.Cmd
	nc     *nats.Conn
	js     jetstream.JetStream
	next   int               // number of the last request
	sent   map[string]uint64 // by node: sequence of the last message sent to it alone

	env             []string // of nodes, besides
	operated        bool     // the broker has accounts, and asks for credentials
	credentials     string   // path of the test's own, or empty
	nodeCredentials string   // path of those of the version's processes, or empty
}

func newVersion(t *testing.T, change ...func(*plan.Plan)) *version {
	t.Helper()
	v := &version{}
	v.open(t, change...)
	return v
}

func (v *version) open(t *testing.T, change ...func(*plan.Plan)) {
	t.Helper()
	data, err := os.ReadFile("manifest.yml")
	require.NoError(t, err)
	m, problems := manifest.Parse("manifest.yml", data)
	require.Empty(t, problems)
	v.t, v.plan, v.folder, v.port, v.sent = t, plan.New(m), t.TempDir(), freePort(t), make(map[string]uint64)
	for _, c := range change {
		c(v.plan)
	}
	options := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}
	if v.operated {
		o := newOperator(t, v.folder)
		v.credentials, v.nodeCredentials = o.credentials(everything), o.credentials(permitted(v.plan))
		options = append(options, nats.UserCredentials(v.credentials),
			nats.CustomInboxPrefix(v.plan.Entrypoint.Inbox+"._platform")) // where the processes may answer
	}
	v.start()
	t.Cleanup(func() {
		_ = v.broker.Process.Kill()
		_ = v.broker.Wait()
	})
	v.nc, err = nats.Connect(v.url(), options...)
	require.NoError(t, err)
	t.Cleanup(v.nc.Close)
	v.js, err = jetstream.New(v.nc)
	require.NoError(t, err)
	v.prepare()
}

func (v *version) start() {
	v.t.Helper()
	v.broker = exec.Command(os.Args[0])
	v.broker.Env = append(os.Environ(), brokerFolder+"="+v.folder, brokerPort+"="+strconv.Itoa(v.port))
	v.broker.Stderr = os.Stderr
	require.NoError(v.t, v.broker.Start())
	v.eventually(func() bool {
		connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(v.port)))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	}, "the broker listens")
}

// stop ends the broker in good order.
func (v *version) stop() {
	v.t.Helper()
	require.NoError(v.t, v.broker.Process.Signal(syscall.SIGTERM))
	_ = v.broker.Wait()
}

// restart ends the broker and starts it again on the same port, with what it had stored.
func (v *version) restart() {
	v.t.Helper()
	v.stop()
	v.start()
}

func (v *version) url() string { return "nats://127.0.0.1:" + strconv.Itoa(v.port) }

// prepare makes what the plan asks for.
func (v *version) prepare() {
	v.t.Helper()
	ctx := v.t.Context()
	for _, s := range v.plan.Streams {
		config := jetstream.StreamConfig{
			Name: s.Name, Subjects: s.Subjects, MaxMsgs: s.MaxMsgs, MaxMsgsPerSubject: s.MaxEach,
			DiscardNewPerSubject: s.MaxEach > 0, MaxAge: s.MaxAge, Duplicates: s.Duplicates, AllowAtomicPublish: s.Atomic,
		}
		if s.Retention == plan.Interest {
			config.Retention = jetstream.InterestPolicy
		}
		if s.DiscardNew {
			config.Discard = jetstream.DiscardNew
		}
		_, err := v.js.CreateStream(ctx, config)
		require.NoError(v.t, err)
	}
	for _, c := range v.plan.Consumers {
		_, err := v.js.CreateConsumer(ctx, c.Stream, jetstream.ConsumerConfig{
			Durable: c.Name, FilterSubjects: c.Filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.AckWait,
			MaxAckPending: c.MaxAckPending, MaxDeliver: -1,
		})
		require.NoError(v.t, err)
	}
	for _, bucket := range v.plan.Buckets {
		_, err := v.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket.Name, TTL: bucket.TTL})
		require.NoError(v.t, err)
	}
}

func (v *version) node(name string) plan.Node {
	v.t.Helper()
	for _, node := range v.plan.Nodes {
		if node.Node == name {
			return node
		}
	}
	require.FailNow(v.t, "no such node", name)
	return plan.Node{}
}

// inbox is a subject that reaches the node and nobody else, and the source it belongs to.
func (v *version) inbox(node plan.Node) (string, plan.Source) {
	v.t.Helper()
	for _, c := range v.plan.Consumers {
		if c.Stream != node.Sources[0].Stream || c.Name != node.Sources[0].Consumer {
			continue
		}
		for _, filter := range c.Filters {
			if strings.HasSuffix(filter, ".to."+node.ID) {
				return filter, node.Sources[0]
			}
		}
	}
	require.FailNow(v.t, "the node has no subject of its own", node.Node)
	return "", plan.Source{}
}

// requestID returns an id that no other request of the version has.
func (v *version) requestID() string {
	v.next++
	id := "01JD7QZ8X5N3V9T4B6K2M00000"
	number := strconv.Itoa(v.next)
	return id[:len(id)-len(number)] + number
}

// store stores a message for the node.
func (v *version) store(node plan.Node, m wire.Message) {
	v.t.Helper()
	subject, _ := v.inbox(node)
	msg := &nats.Msg{Subject: subject, Header: m.Header(), Data: m.Body}
	v.eventually(func() bool {
		ack, err := v.js.PublishMsg(v.t.Context(), msg)
		if err == nil {
			v.sent[node.ID] = ack.Sequence
		}
		return err == nil
	}, "the message is stored for "+node.Node)
}

func (v *version) last(stream string) uint64 {
	v.t.Helper()
	return v.state(stream).LastSeq
}

func (v *version) state(stream string) jetstream.StreamState {
	v.t.Helper()
	s, err := v.js.Stream(v.t.Context(), stream)
	require.NoError(v.t, err)
	return s.CachedInfo().State
}

// stored is a message of a stream, read without taking it away.
type stored struct {
	wire.Message
	subject string
	header  nats.Header
}

// since returns what a stream has got after a sequence, once everything has been taken out of its parcels.
func (v *version) since(stream string, sequence uint64) []stored {
	v.t.Helper()
	v.unpacked(stream)
	s, err := v.js.Stream(v.t.Context(), stream)
	require.NoError(v.t, err)
	var all []stored
	for i := sequence + 1; i <= s.CachedInfo().State.LastSeq; i++ {
		msg, err := s.GetMsg(v.t.Context(), i)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // a parcel that was unpacked, or what a broker took back that was restarted
		}
		require.NoError(v.t, err)
		m, err := wire.Parse(msg.Header, msg.Data)
		require.NoError(v.t, err, "message %d of stream %s", i, stream)
		all = append(all, stored{Message: m, subject: msg.Subject, header: msg.Header})
	}
	return all
}

// unpacked waits until everything has been taken out of the parcels of a stream.
func (v *version) unpacked(stream string) {
	v.t.Helper()
	v.eventually(func() bool { return v.parcels(stream) == 0 }, "nothing is packed any more in "+stream)
}

// parcels counts those that a stream holds.
func (v *version) parcels(stream string) (count uint64) {
	v.t.Helper()
	s, err := v.js.Stream(v.t.Context(), stream)
	require.NoError(v.t, err)
	info, err := s.Info(v.t.Context(), jetstream.WithSubjectFilter(">"))
	require.NoError(v.t, err)
	for subject, messages := range info.State.Subjects {
		if strings.Contains(subject, ".parcel") {
			count += messages
		}
	}
	return count
}

// settled waits until the node has acknowledged everything that was sent to it alone.
func (v *version) settled(node plan.Node) {
	v.t.Helper()
	v.eventually(func() bool { return v.done(node) }, "everything is acknowledged by "+node.Node)
}

// done reports whether the node has acknowledged everything that was sent to it alone. The broker counts a message as
// pending some time after it has confirmed it, so that the counts alone do not tell.
func (v *version) done(node plan.Node) bool {
	_, source := v.inbox(node)
	info := v.consumer(source)
	return info != nil && info.Delivered.Stream >= v.sent[node.ID] && info.NumPending == 0 && info.NumAckPending == 0
}

// known returns what the broker knows of a consumer, and waits until it answers.
func (v *version) known(source plan.Source) *jetstream.ConsumerInfo {
	for deadline := time.Now().Add(patience); ; {
		if info := v.consumer(source); info != nil || time.Now().After(deadline) {
			require.NotNil(v.t, info, "the broker does not tell about consumer %s", source.Consumer)
			return info
		}
	}
}

// ackPending is how many messages of a consumer are held.
func (v *version) ackPending(source plan.Source) int { return v.known(source).NumAckPending }

// consumer returns what the broker knows of a consumer, or nil while it does not answer.
func (v *version) consumer(source plan.Source) *jetstream.ConsumerInfo {
	c, err := v.js.Consumer(v.t.Context(), source.Stream, source.Consumer)
	if err != nil {
		return nil
	}
	return c.CachedInfo()
}

func (v *version) eventually(condition func() bool, what string) {
	v.t.Helper()
	require.Eventually(v.t, condition, patience, look, "waiting until "+what)
}
