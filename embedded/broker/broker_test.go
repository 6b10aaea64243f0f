package broker_test

import (
	"bytes"
	"net"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/broker"
)

func start(t *testing.T, o broker.Options) *broker.Broker {
	t.Helper()
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	b, err := broker.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	return b
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestRefusesAClientWithoutTheToken(t *testing.T) {
	b := start(t, broker.Options{})
	_, err := nats.Connect("nats://" + b.Addr())
	require.ErrorIs(t, err, nats.ErrAuthorization)
	connect(t, b.URL())
}

func TestListensOnLoopbackOnly(t *testing.T) {
	b := start(t, broker.Options{})
	host, _, err := net.SplitHostPort(b.Addr())
	require.NoError(t, err)
	require.True(t, net.ParseIP(host).IsLoopback())
}

func TestTakesMessagesOfEightMebibytes(t *testing.T) {
	b := start(t, broker.Options{})
	takesLargeMessages(t, connect(t, b.URL()))
}

func takesLargeMessages(t *testing.T, nc *nats.Conn) {
	t.Helper()
	require.EqualValues(t, broker.MaxPayload, nc.MaxPayload())

	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "big", Subjects: []string{"big"}})
	require.NoError(t, err)
	body := bytes.Repeat([]byte{1}, broker.MaxPayload)
	_, err = js.Publish(t.Context(), "big", body)
	require.NoError(t, err)
}

func TestHoldsManyBatchesOpenPerStream(t *testing.T) {
	b := start(t, broker.Options{})
	holdsManyBatchesOpen(t, connect(t, b.URL()))
}

func holdsManyBatchesOpen(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "batches", Subjects: []string{"batches"}, AllowAtomicPublish: true})
	require.NoError(t, err)
	for i := range 200 { // the 51st would be refused without the option
		msg := nats.NewMsg("batches")
		msg.Header.Set("Nats-Batch-Id", strconv.Itoa(i))
		msg.Header.Set("Nats-Batch-Sequence", "1")
		answer, err := nc.RequestMsgWithContext(t.Context(), msg)
		require.NoError(t, err)
		require.Emptyf(t, answer.Data, "batch %d was refused", i)
	}
}

func TestFindsItsStreamsAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b, err := broker.Start(t.Context(), broker.Options{StoreDir: dir, Token: "secret"})
	require.NoError(t, err)
	nc := connect(t, b.URL())
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "kept", Subjects: []string{"kept"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "kept", []byte("x"))
	require.NoError(t, err)
	nc.Close()
	b.Stop()

	b = start(t, broker.Options{StoreDir: dir, Token: "secret"})
	js, err = jetstream.New(connect(t, b.URL()))
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "kept")
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)
}

func portOf(t *testing.T, b *broker.Broker) int {
	t.Helper()
	_, text, err := net.SplitHostPort(b.Addr())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	return port
}

func TestSaysWhyItCannotStart(t *testing.T) {
	first := start(t, broker.Options{})
	_, err := broker.Start(t.Context(), broker.Options{StoreDir: t.TempDir(), Port: portOf(t, first)})
	require.ErrorContains(t, err, "address already in use")
}
