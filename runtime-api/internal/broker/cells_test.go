package broker_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// told is what a process said, and of which version.
type told struct{ version, node string }

// openCells connects as a runtime's own service, which listens to the processes of versions.
func (o *operated) openCells(t *testing.T, account *broker.Account) (*broker.Cells, <-chan told) {
	t.Helper()
	b, err := broker.OpenCells(o.ClientURL(), zap.NewNop(), broker.Options{Account: account})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Home().WaitConnected(t.Context()))
	heard := make(chan told, 1000)
	require.NoError(t, b.Notes(func(version string, note nodestatus.Note) { heard <- told{version, note.Node} }))
	b.Recall(t.Context())
	return b, heard
}

// say says something of a node until it is heard.
func say(t *testing.T, conn *nats.Conn, version, node string, heard <-chan told) told {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		require.NoError(t, conn.Publish(plan.Status(version)+".estimate."+node, fmt.Appendf(nil, `{"node":%q}`, node)))
		require.NoError(t, conn.Flush())
		select {
		case one := <-heard:
			return one
		case <-time.After(10 * time.Millisecond):
		}
	}
	require.FailNow(t, "nobody hears it")
	return told{}
}

func TestEachVersionIsInItsOwnAccount(t *testing.T) {
	o := newOperated(t)
	runtime := o.runtime(t)
	b, heard := o.openCells(t, runtime)
	p := planned(t, "prices-v1")
	seed, id := o.account(t)
	keys := assets.Keys{Account: seed, User: user(t)}
	credentials, err := b.Apply(t.Context(), p, keys)
	require.NoError(t, err)
	conn, _ := o.enter(t, credentials, p)
	require.Equal(t, told{"prices-v1", "etl"}, say(t, conn, "prices-v1", "etl", heard))

	js, err := jetstream.New(conn)
	require.NoError(t, err)
	publish(t, js, p.Entrypoint.Workflows[0].Subject, "request")
	publish(t, js, "kre.prices-v1._dead.estimate.etl", "dead")
	count, err := b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, assets.Messages{Stored: 1, Dead: 1}, count)
	dropped, err := b.Discard(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.EqualValues(t, 1, dropped)

	_, err = conn.Subscribe(p.Entrypoint.Control, func(m *nats.Msg) { _ = m.Respond([]byte(`{"instance":"one"}`)) })
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	reports, err := b.Command(t.Context(), "prices-v1", "report")
	require.NoError(t, err)
	require.Equal(t, []assets.Report{{Instance: "one"}}, reports)

	account, err := o.LookupAccount(id)
	require.NoError(t, err)
	require.Equal(t, 4, account.JetStreamUsage().Streams, "its streams and its bucket")
	removed, err := b.Remove(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, 4, removed)
	require.Zero(t, account.JetStreamUsage().Streams)
	count, err = b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Zero(t, count)
}

func TestAccountsAreFoundAgainAndTheReleasedOnesLeftAlone(t *testing.T) {
	o := newOperated(t)
	runtime := o.runtime(t)
	b, _ := o.openCells(t, runtime)
	conns, ids := make(map[string]*nats.Conn), make(map[string]string)
	for _, version := range []string{"prices-v1", "prices-v2"} {
		p := planned(t, version)
		var seed string
		seed, ids[version] = o.account(t)
		credentials, err := b.Apply(t.Context(), p, assets.Keys{Account: seed, User: user(t)})
		require.NoError(t, err)
		conns[version], _ = o.enter(t, credentials, p)
		js, err := jetstream.New(conns[version])
		require.NoError(t, err)
		publish(t, js, p.Entrypoint.Workflows[0].Subject, "request")
	}
	inside := func(version string) int {
		account, err := o.LookupAccount(ids[version])
		require.NoError(t, err)
		return account.NumLocalConnections()
	}
	require.Equal(t, 2, inside("prices-v2"), "we and the runtime's service")
	require.NoError(t, b.Release(t.Context(), "prices-v2"))
	require.Eventually(t, func() bool { return inside("prices-v2") == 1 }, time.Minute, time.Millisecond)
	b.Close()

	again, heard := o.openCells(t, runtime)
	require.Equal(t, told{"prices-v1", "etl"}, say(t, conns["prices-v1"], "prices-v1", "etl", heard))
	require.Equal(t, 1, inside("prices-v2"))
	count, err := again.Count(t.Context(), "prices-v2")
	require.NoError(t, err)
	require.EqualValues(t, 1, count.Stored, "it is looked at when somebody asks")
	require.Eventually(t, func() bool { return inside("prices-v2") == 1 }, time.Minute, time.Millisecond)
}

func TestAVersionIsItselfWhateverItsProcessesCallThemselves(t *testing.T) {
	o := newOperated(t)
	b, heard := o.openCells(t, o.runtime(t))
	seed, _ := o.account(t)
	_, err := b.Apply(t.Context(), planned(t, "prices-v1"), assets.Keys{Account: seed, User: user(t)})
	require.NoError(t, err)
	// One who may do more than any process of a version.
	conn := o.administrator(t, seed)
	require.NoError(t, conn.Publish(plan.Status("prices-v2")+".estimate.etl", []byte(`{"node":"forged"}`)))
	require.Equal(t, told{"prices-v1", "honest"}, say(t, conn, "prices-v1", "honest", heard))
}

// before makes a version in the runtime's account, as it was before versions had accounts of their own.
func before(t *testing.T, o *operated, b *broker.Cells, p *plan.Plan) jetstream.JetStream {
	t.Helper()
	credentials, err := b.Apply(t.Context(), p, assets.Keys{User: user(t)})
	require.NoError(t, err)
	conn, _ := o.enter(t, credentials, p)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

func TestAVersionOfBeforeMovesToItsOwnAccountWithItsDeadLetters(t *testing.T) {
	o := newOperated(t)
	b, _ := o.openCells(t, o.runtime(t))
	p := planned(t, "prices-v1")
	js := before(t, o, b, p)
	const letters = 5
	for i := range letters {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: "kre.prices-v1._dead.estimate.etl", Header: nats.Header{"Kre-Message-Id": {strconv.Itoa(i)}}, Data: []byte("dead"),
		})
		require.NoError(t, err)
	}
	publish(t, js, p.Entrypoint.Workflows[0].Subject, "request")

	seed, _ := o.account(t)
	keys := assets.Keys{Account: seed, User: user(t)}
	_, err := b.Apply(t.Context(), p, keys)
	require.Equal(t, fault.Precondition, fault.KindOf(err))
	require.ErrorContains(t, err, "version prices-v1 has 1 messages in stream entry_prices-v1_estimate")

	// What had moved before an interruption is not moved again.
	own := o.administrator(t, seed)
	ours, err := jetstream.New(own)
	require.NoError(t, err)
	_, err = ours.PublishMsg(t.Context(), &nats.Msg{
		Subject: "kre.prices-v1._dead.estimate.etl", Header: nats.Header{"Kre-Message-Id": {"0"}, "Kre-Moved-Sequence": {"1"}},
	})
	require.NoError(t, err)
	source := p.Nodes[0].Sources[0]
	consumer, err := js.Consumer(t.Context(), source.Stream, source.Consumer)
	require.NoError(t, err)
	message, err := consumer.Next(jetstream.FetchMaxWait(time.Minute))
	require.NoError(t, err)
	require.NoError(t, message.DoubleAck(t.Context()))
	_, err = b.Apply(t.Context(), p, keys)
	require.NoError(t, err)

	stream, err := ours.Stream(t.Context(), "dead_prices-v1")
	require.NoError(t, err)
	require.EqualValues(t, letters, stream.CachedInfo().State.Msgs)
	for i := range letters {
		letter, err := stream.GetMsg(t.Context(), uint64(i+1)) //nolint:gosec // small
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), letter.Header.Get("Kre-Message-Id"))
	}
	count, err := b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, assets.Messages{Dead: letters}, count)
	left, err := b.Home().Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Zero(t, left)
}

func TestAVersionOfBeforeStaysInTheRuntimesAccountUntilItIsGivenAnother(t *testing.T) {
	o := newOperated(t)
	b, heard := o.openCells(t, o.runtime(t))
	p := planned(t, "prices-v1")
	publish(t, before(t, o, b, p), p.Entrypoint.Workflows[0].Subject, "request")
	count, err := b.Count(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.EqualValues(t, 1, count.Stored)
	credentials, err := b.Apply(t.Context(), p, assets.Keys{User: user(t)})
	require.NoError(t, err)
	conn, _ := o.enter(t, credentials, p)
	require.Equal(t, told{"prices-v1", "etl"}, say(t, conn, "prices-v1", "etl", heard))
	require.NoError(t, b.Release(t.Context(), "prices-v1"))
	removed, err := b.Remove(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, 4, removed)
}

func TestKeysThatAreNoneAreRefused(t *testing.T) {
	o := newOperated(t)
	b, _ := o.openCells(t, o.runtime(t))
	seed, _ := o.account(t)
	for name, keys := range map[string]assets.Keys{
		"broker_keys.account_seed is no seed of a NATS account":                     {Account: "nothing", User: user(t)},
		"broker_keys.account_seed is the seed of somebody else than a NATS account": {Account: user(t), User: user(t)},
		"broker_keys.user_seed is no seed of a NATS user":                           {Account: seed, User: seed},
	} {
		_, err := b.Apply(t.Context(), planned(t, "prices-v1"), keys)
		require.Equal(t, fault.Invalid, fault.KindOf(err))
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), seed)
	}
}
