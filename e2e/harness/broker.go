package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Broker looks at what the version has stored.
type Broker struct {
	jetstream.JetStream
}

// Broker connects to the broker of the run. The connection is closed when the test ends.
func (r *Run) Broker(t testing.TB) Broker {
	t.Helper()
	conn, err := nats.Connect(r.Info.NATS)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return Broker{js}
}

// WaitIdle waits until no consumer has anything left to do: every message is acknowledged by whoever gets it.
func (b Broker) WaitIdle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	Eventually(t, "every message is acknowledged", func() (bool, string) {
		// A node stores its outputs before it acknowledges its input. So a message under way is seen somewhere, unless
		// something was stored while we looked.
		before := b.stored(ctx, t)
		busy := b.busy(ctx, t)
		return len(busy) == 0 && before == b.stored(ctx, t), strings.Join(busy, ", ")
	})
}

// stored counts all messages that were ever stored.
func (b Broker) stored(ctx context.Context, t testing.TB) uint64 {
	t.Helper()
	var sum uint64
	streams := b.ListStreams(ctx)
	for stream := range streams.Info() {
		sum += stream.State.LastSeq
	}
	require.NoError(t, streams.Err())
	return sum
}

// busy names the consumers that have something left to do.
func (b Broker) busy(ctx context.Context, t testing.TB) []string {
	t.Helper()
	var busy []string
	names := b.StreamNames(ctx)
	for name := range names.Name() {
		stream, err := b.Stream(ctx, name)
		require.NoError(t, err)
		consumers := stream.ListConsumers(ctx)
		for consumer := range consumers.Info() {
			if left := consumer.NumPending + uint64(consumer.NumAckPending); left > 0 {
				busy = append(busy, fmt.Sprintf("%s/%s: %d", consumer.Stream, consumer.Name, left))
			}
		}
		require.NoError(t, consumers.Err())
	}
	require.NoError(t, names.Err())
	return busy
}

// Messages returns everything that is stored in the streams whose name begins with the prefix.
func (b Broker) Messages(t testing.TB, prefix string) []*jetstream.RawStreamMsg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var all []*jetstream.RawStreamMsg
	names := b.StreamNames(ctx)
	for name := range names.Name() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		stream, err := b.Stream(ctx, name)
		require.NoError(t, err)
		state := stream.CachedInfo().State
		for sequence := max(1, state.FirstSeq); sequence <= state.LastSeq; sequence++ {
			message, err := stream.GetMsg(ctx, sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			require.NoError(t, err)
			all = append(all, message)
		}
	}
	require.NoError(t, names.Err())
	return all
}
