package test

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }

// sendForEver stores a message while the broker comes and goes.
func (b *bed) sendForEver(m wire.Message) {
	b.t.Helper()
	header := nats.Header(m.Header())
	header.Set(nats.MsgIdHdr, m.ID)
	b.eventually(func() bool {
		_, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: entrySubject, Header: header, Data: m.Body})
		return err == nil
	}, "the entry message is stored")
}

// deliver has the broker deliver the next message n times to somebody who refuses it.
func (b *bed) deliver(n int) {
	b.t.Helper()
	c, err := b.js.Consumer(b.t.Context(), entryStream, "n-1")
	require.NoError(b.t, err)
	for range n {
		msg, err := c.Next()
		require.NoError(b.t, err)
		require.NoError(b.t, msg.Nak())
	}
	require.NoError(b.t, b.nc.Flush())
}

// nakPending refuses, in the node's name, the last message that was delivered to it.
func (b *bed) nakPending() {
	b.t.Helper()
	c, err := b.js.Consumer(b.t.Context(), entryStream, "n-1")
	require.NoError(b.t, err)
	info := c.CachedInfo()
	subject := "$JS.ACK." + entryStream + ".n-1.1." + decimal(info.Delivered.Stream) + "." + decimal(info.Delivered.Consumer) + "." +
		decimal(uint64(time.Now().UnixNano())) + ".0"
	require.NoError(b.t, b.nc.Publish(subject, []byte("-NAK")))
}

// ackPending is how many messages the broker takes for held.
func (b *bed) ackPending() int {
	b.t.Helper()
	c, err := b.js.Consumer(b.t.Context(), entryStream, "n-1")
	require.NoError(b.t, err)
	return c.CachedInfo().NumAckPending
}

// starts is the value of a key of the bucket, or nothing.
func (b *bed) starts(key string) string {
	bucket, err := b.js.KeyValue(b.t.Context(), startsBucket)
	if err != nil {
		return err.Error()
	}
	entry, err := bucket.Get(b.t.Context(), key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return string(entry.Value())
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// acknowledgements returns what the node answers to deliveries from now on.
func (b *bed) acknowledgements() <-chan string {
	b.t.Helper()
	answers := make(chan string, 1000)
	_, err := b.nc.Subscribe("$JS.ACK."+entryStream+".n-1.>", func(msg *nats.Msg) { answers <- string(msg.Data) })
	require.NoError(b.t, err)
	require.NoError(b.t, b.nc.Flush())
	return answers
}

// soon returns what comes through a channel.
func soon[T any](t testing.TB, channel <-chan T) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(patience):
		require.FailNow(t, "nothing comes")
		panic("unreachable")
	}
}

// givenBack waits until the node has given something back, past its signs of life.
func givenBack(t testing.TB, answers <-chan string) {
	t.Helper()
	for soon(t, answers) != "-NAK" {
	}
}
