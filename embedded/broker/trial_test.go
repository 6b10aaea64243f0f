//go:build linux

package broker

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/smalldisk"
)

// What fills the disk is what streams hold: where those who take it may take it, there is room again.
func TestWithLittleRoomItIsTriedWhetherWhatIsDoneMakesMore(t *testing.T) {
	w := watchedIn(t, smalldisk.New(t, 40))
	told := 0
	w.warn = func(string) { told++ }
	nc, err := nats.Connect(w.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}, Retention: jetstream.WorkQueuePolicy})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), "s", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	publish := func() error {
		_, err := nc.Request("s", make([]byte, 6<<20), 2*time.Second)
		return err
	}
	fail := func() {
		for w.log.writeFailed() == nil {
			_ = publish()
		}
		w.look(t.Context())
		require.True(t, w.ceased)
	}
	later := func() {
		w.failure, w.next, w.resumed = w.failure.Add(-trialEach), time.Now(), w.resumed.Add(-2*provenAfter)
		w.look(t.Context())
	}
	fail()
	w.look(t.Context())
	require.False(t, w.server.JetStreamEnabled(), "there is too little room")

	later()
	require.True(t, w.server.JetStreamEnabled())
	require.True(t, w.trial)
	require.NotEmpty(t, w.Reason(), "it is not known to go well")
	fail()
	require.Equal(t, 1, told, "what is known is not told again")

	later()
	require.True(t, w.trial)
	consumer, err := eventually(t, func() (jetstream.Consumer, error) { return js.Consumer(t.Context(), "s", "c") })
	require.NoError(t, err)
	batch, err := consumer.Fetch(10, jetstream.FetchMaxWait(2*time.Second))
	require.NoError(t, err)
	for msg := range batch.Messages() {
		require.NoError(t, msg.DoubleAck(t.Context()))
	}
	later()
	require.Empty(t, w.Reason())
	require.Equal(t, 2, told)
	require.NoError(t, publish())
	require.NoError(t, w.log.writeFailed())
}

// eventually repeats what may fail until a connection is made again.
func eventually[T any](t *testing.T, try func() (T, error)) (T, error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got, err := try()
		if err == nil || time.Now().After(end) {
			return got, err
		}
	}
}
