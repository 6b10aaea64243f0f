package broker_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
)

func TestAssetsExistExactlyAsPlanned(t *testing.T) {
	b, js := open(t)
	p := prices("prices-v1")
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
	require.Equal(t, []string{"KV_starts_prices-v1", "dead_prices-v1", "entry_prices-v1_estimate", "node_prices-v1_estimate_etl"}, streamNames(t, js))
}

func TestApplyingTwiceChangesNothingAndKeepsMessages(t *testing.T) {
	b, js := open(t)
	p := prices("prices-v1")
	require.NoError(t, b.Apply(t.Context(), p))
	publish(t, js, "kre.prices-v1.estimate.entry", "one")
	before := created(t, js)
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
	require.Equal(t, before, created(t, js), "nothing was created anew")
	require.EqualValues(t, 1, messages(t, js, "entry_prices-v1_estimate"))
}

func TestApplyingAtOnceFromTwoConnectionsIsTheSameAsOnce(t *testing.T) {
	srv := start(t)
	p := prices("prices-v1")
	const callers = 4
	results := make(chan error, callers)
	for range callers {
		b := connect(t, srv.ClientURL())
		go func() { results <- b.Apply(context.Background(), p) }()
	}
	for range callers {
		require.NoError(t, <-results)
	}
	requireExactly(t, client(t, srv), p)
}

func TestWhatTheNextPlanNoLongerNamesIsRemoved(t *testing.T) {
	b, js := open(t)
	require.NoError(t, b.Apply(t.Context(), prices("prices-v1")))

	smaller := prices("prices-v1")
	smaller.Streams = smaller.Streams[:2]     // no node stream
	smaller.Consumers = smaller.Consumers[:1] // nobody resends to etl
	smaller.Buckets = nil
	require.NoError(t, b.Apply(t.Context(), smaller))
	requireExactly(t, js, smaller)
}

func TestAConsumerThatSubscribesToSomethingElseIsChangedInPlace(t *testing.T) {
	b, js := open(t)
	p := prices("prices-v1")
	require.NoError(t, b.Apply(t.Context(), p))
	publish(t, js, "kre.prices-v1.estimate.entry", "waiting")

	p = prices("prices-v1")
	p.Consumers[0].Filters = append(p.Consumers[0].Filters, "kre.prices-v1.estimate.other")
	p.Streams[0].Subjects = append(p.Streams[0].Subjects, "kre.prices-v1.estimate.other")
	p.Streams[0].MaxMsgs = 50
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
	require.EqualValues(t, 1, messages(t, js, "entry_prices-v1_estimate"), "the waiting message is still there")
}

func TestAnEmptyStreamThatCannotBeChangedIsMadeAnew(t *testing.T) {
	b, js := open(t)
	memoryStream(t, js)
	p := prices("prices-v1")
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
}

func TestAStreamWithMessagesThatCannotBeChangedIsKeptAndNamed(t *testing.T) {
	b, js := open(t)
	memoryStream(t, js)
	publish(t, js, "kre.prices-v1.estimate.entry", "one")
	err := b.Apply(t.Context(), prices("prices-v1"))
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	require.ErrorContains(t, err, "stream entry_prices-v1_estimate holds 1 messages and cannot be changed")
	require.EqualValues(t, 1, messages(t, js, "entry_prices-v1_estimate"))
}

func TestALimitBelowWhatIsStoredIsRefused(t *testing.T) {
	b, js := open(t)
	p := prices("prices-v1")
	p.Streams[2].MaxEach, p.Streams[2].MaxMsgs = 0, 100 // as streams were before there were limits for each subject
	require.NoError(t, b.Apply(t.Context(), p))
	for range 3 {
		publish(t, js, "kre.prices-v1.estimate.from.etl.out", "waiting")
	}
	publish(t, js, "kre.prices-v1.estimate.from.etl.error", "waiting")

	p.Streams[2].MaxEach, p.Streams[2].MaxMsgs = 2, 0
	err := b.Apply(t.Context(), p)
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	require.ErrorContains(t, err, "holds 3 messages on kre.prices-v1.estimate.from.etl.out, more than the 2")
	require.EqualValues(t, 4, messages(t, js, p.Streams[2].Name))

	p.Streams[2].MaxEach = 3
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
	require.EqualValues(t, 4, messages(t, js, p.Streams[2].Name))
}

func TestAConsumerThatCannotBeChangedIsMadeAnewOnlyWhenNothingWaitsForIt(t *testing.T) {
	b, js := open(t)
	p := prices("prices-v1")
	require.NoError(t, b.Apply(t.Context(), p))
	_, err := js.CreateConsumer(t.Context(), "dead_prices-v1", jetstream.ConsumerConfig{Durable: "etl", AckPolicy: jetstream.AckNonePolicy})
	require.NoError(t, err)
	p.Consumers = append(p.Consumers, plan.Consumer{Stream: "dead_prices-v1", Name: "etl",
		Filters: []string{"kre.prices-v1._dead.>"}, AckWait: 2 * time.Second, MaxAckPending: 4096})

	publish(t, js, "kre.prices-v1._dead.estimate.etl", "one")
	err = b.Apply(t.Context(), p)
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	require.ErrorContains(t, err, "consumer etl of stream dead_prices-v1 has 1 messages and cannot be changed")

	stream, err := js.Stream(t.Context(), "dead_prices-v1")
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, b.Apply(t.Context(), p))
	requireExactly(t, js, p)
}

func TestAStreamOfSomebodyElseIsLeftAlone(t *testing.T) {
	b, js := open(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "entry_prices-v1_estimate", Subjects: []string{"mine"}})
	require.NoError(t, err)
	err = b.Apply(t.Context(), prices("prices-v1"))
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	require.ErrorContains(t, err, "stream entry_prices-v1_estimate exists and is none of this platform's")
	removed, err := b.Remove(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Zero(t, removed)
	require.Equal(t, []string{"entry_prices-v1_estimate"}, streamNames(t, js))
}

func TestRemoveLeavesNothingAndMayBeRepeated(t *testing.T) {
	b, js := open(t)
	require.NoError(t, b.Apply(t.Context(), prices("prices-v1")))
	publish(t, js, "kre.prices-v1.estimate.entry", "one")
	for _, want := range []int{4, 0} {
		removed, err := b.Remove(t.Context(), "prices-v1")
		require.NoError(t, err)
		require.Equal(t, want, removed)
		require.Empty(t, streamNames(t, js))
	}
}

func TestVersionsWhoseNamesBeginAlikeDoNotTouchEachOther(t *testing.T) {
	b, js := open(t)
	names := []string{"a", "a-b", "a-b-estimate", "entry", "starts-a"}
	for _, name := range names {
		require.NoError(t, b.Apply(t.Context(), prices(name)))
	}
	require.Len(t, streamNames(t, js), 4*len(names))
	removed, err := b.Remove(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 4, removed)
	for _, name := range names[1:] {
		p := prices(name)
		p.Streams = nil // the others' streams are there as well
		requireConsumers(t, js, p)
	}
	require.Len(t, streamNames(t, js), 4*(len(names)-1))
}

func TestABrokerThatIsAwayIsUnavailableAndIsFoundAgain(t *testing.T) {
	srv := start(t)
	b := connect(t, srv.ClientURL())
	address := srv.Addr().(*net.TCPAddr)
	require.NoError(t, b.Apply(t.Context(), prices("prices-v1")))
	srv.Shutdown()
	srv.WaitForShutdown()

	err := b.Apply(t.Context(), prices("prices-v1"))
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	_, err = b.Remove(t.Context(), "prices-v1")
	require.Equal(t, fault.Unavailable, fault.KindOf(err))

	again := startAt(t, address.Port, t.TempDir())
	require.NoError(t, b.WaitConnected(t.Context()))
	require.NoError(t, b.Apply(t.Context(), prices("prices-v1")))
	requireExactly(t, client(t, again), prices("prices-v1"))
}

func TestABrokerThatWasNeverThereIsUnavailableAndItsTokenIsNotTold(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	address := ports.Address(ports.Loopback, port)
	b := connect(t, "nats://secret@"+address)
	err = b.Apply(t.Context(), prices("prices-v1"))
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.ErrorContains(t, err, "the broker at "+address+" cannot be reached")
	require.NotContains(t, err.Error(), "secret")
}

func TestABrokerWithoutJetStreamIsUnavailable(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	run(t, srv)
	b := connect(t, srv.ClientURL())
	require.NoError(t, b.WaitConnected(t.Context()))
	err = b.Apply(t.Context(), prices("prices-v1"))
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
}

// prices is a small plan: one workflow, one node with an output.
func prices(version string) *plan.Plan {
	subject := "kre." + version + "."
	entry, etl := "entry_"+version+"_estimate", "node_"+version+"_estimate_etl"
	consumer := plan.Consumer{AckWait: 2 * time.Second, MaxAckPending: 4096}
	of := func(stream, name string, filters ...string) plan.Consumer {
		c := consumer
		c.Stream, c.Name, c.Filters = stream, name, filters
		return c
	}
	return &plan.Plan{
		Version: version,
		Streams: []plan.Stream{
			{Name: entry, Subjects: []string{subject + "estimate.entry", subject + "estimate.to.*"}, Retention: plan.Interest,
				DiscardNew: true, MaxMsgs: 100_000, Duplicates: time.Minute, Atomic: true},
			{Name: "dead_" + version, Subjects: []string{subject + "_dead.>"}, Retention: plan.Limits, MaxMsgs: 10_000,
				MaxAge: 24 * time.Hour, Duplicates: time.Minute},
			{Name: etl, Subjects: []string{subject + "estimate.from.etl.>"}, Retention: plan.Interest,
				DiscardNew: true, MaxEach: 100_000, Duplicates: time.Minute, Atomic: true},
		},
		Consumers: []plan.Consumer{
			of(entry, "etl", subject+"estimate.entry"),
			of(entry, "etl-to", subject+"estimate.to.etl"),
			of(etl, "model", subject+"estimate.from.etl.out", subject+"estimate.from.etl.error"),
		},
		Buckets: []plan.Bucket{{Name: "starts_" + version, TTL: time.Hour}},
	}
}

func start(t *testing.T) *server.Server { return startAt(t, -1, t.TempDir()) }

func startAt(t *testing.T, port int, dir string) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	run(t, srv)
	return srv
}

func run(t *testing.T, srv *server.Server) {
	t.Helper()
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
}

func connect(t *testing.T, address string) *broker.Broker {
	t.Helper()
	b, err := broker.Connect(address, zap.NewNop(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func client(t *testing.T, srv *server.Server) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

func open(t *testing.T) (*broker.Broker, jetstream.JetStream) {
	t.Helper()
	srv := start(t)
	return connect(t, srv.ClientURL()), client(t, srv)
}

// memoryStream makes the version's entry stream in a way that cannot be changed in place to what is planned.
func memoryStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "entry_prices-v1_estimate", Subjects: []string{"kre.prices-v1.estimate.entry"},
		Storage: jetstream.MemoryStorage, Metadata: map[string]string{"kre-version": "prices-v1"},
	})
	require.NoError(t, err)
}

func publish(t *testing.T, js jetstream.JetStream, subject, text string) {
	t.Helper()
	_, err := js.Publish(t.Context(), subject, []byte(text))
	require.NoError(t, err)
}

func streamNames(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var names []string
	list := js.StreamNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	require.NoError(t, list.Err())
	return names
}

func messages(t *testing.T, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}

// created returns when each stream and consumer was created.
func created(t *testing.T, js jetstream.JetStream) map[string]time.Time {
	t.Helper()
	times := make(map[string]time.Time)
	for _, name := range streamNames(t, js) {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		times[name] = s.CachedInfo().Created
		list := s.ListConsumers(t.Context())
		for info := range list.Info() {
			times[name+"/"+info.Name] = info.Created
		}
		require.NoError(t, list.Err())
	}
	return times
}

// requireExactly checks that the broker holds what the plan names, as it names it, and nothing else.
func requireExactly(t *testing.T, js jetstream.JetStream, p *plan.Plan) {
	t.Helper()
	var want []string
	for _, planned := range p.Streams {
		want = append(want, planned.Name)
		s, err := js.Stream(t.Context(), planned.Name)
		require.NoError(t, err)
		got := s.CachedInfo().Config
		require.Equal(t, planned.Subjects, got.Subjects)
		require.Equal(t, planned.Retention == plan.Interest, got.Retention == jetstream.InterestPolicy)
		require.Equal(t, planned.DiscardNew, got.Discard == jetstream.DiscardNew)
		require.Equal(t, planned.MaxMsgs, max(0, got.MaxMsgs))
		require.Equal(t, planned.MaxEach, max(0, got.MaxMsgsPerSubject))
		require.Equal(t, planned.MaxEach > 0, got.DiscardNewPerSubject)
		require.Equal(t, planned.MaxAge, got.MaxAge)
		require.Equal(t, planned.Duplicates, got.Duplicates)
		require.Equal(t, planned.Atomic, got.AllowAtomicPublish)
		require.Equal(t, jetstream.FileStorage, got.Storage)
		require.EqualValues(t, -1, got.MaxBytes, "bytes would be reserved")
	}
	for _, planned := range p.Buckets {
		want = append(want, "KV_"+planned.Name)
		bucket, err := js.KeyValue(t.Context(), planned.Name)
		require.NoError(t, err)
		status, err := bucket.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, planned.TTL, status.TTL())
	}
	require.ElementsMatch(t, want, streamNames(t, js))
	requireConsumers(t, js, p)
}

func requireConsumers(t *testing.T, js jetstream.JetStream, p *plan.Plan) {
	t.Helper()
	planned := make(map[string]int)
	for _, c := range p.Consumers {
		planned[c.Stream]++
		consumer, err := js.Consumer(t.Context(), c.Stream, c.Name)
		require.NoError(t, err)
		got := consumer.CachedInfo().Config
		filters := got.FilterSubjects
		if got.FilterSubject != "" {
			filters = []string{got.FilterSubject}
		}
		require.Equal(t, c.Filters, filters)
		require.Equal(t, jetstream.AckExplicitPolicy, got.AckPolicy)
		require.Equal(t, c.AckWait, got.AckWait)
		require.Equal(t, c.MaxAckPending, got.MaxAckPending)
		require.Equal(t, -1, got.MaxDeliver)
		require.Equal(t, c.Name, got.Durable)
		require.Empty(t, got.DeliverSubject, "a pull consumer")
	}
	for stream, count := range planned {
		s, err := js.Stream(t.Context(), stream)
		require.NoError(t, err)
		require.Equal(t, count, s.CachedInfo().State.Consumers)
	}
}
