//go:build linux

package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/kit/smalldisk"
)

// smallDisk is a file system that a few large messages fill.
func smallDisk(t *testing.T) string { return smalldisk.New(t, 48) }

func enlarge(t *testing.T, dir string) { smalldisk.Resize(t, dir, 128) }

// warnings are what a broker has told.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.texts)
}

func (w *warnings) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, t := range w.texts {
		if strings.Contains(t, text) {
			n++
		}
	}
	return n
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		require.Truef(t, time.Now().Before(end), "waited in vain: %s", what)
	}
}

// kinds are the ways to start a broker, and to connect to it as somebody with streams.
var kinds = []struct {
	name  string
	start func(t *testing.T, dir string, w *warnings) (*broker.Broker, nats.Option)
}{
	{"with a token", func(t *testing.T, dir string, w *warnings) (*broker.Broker, nats.Option) {
		return start(t, broker.Options{StoreDir: dir, Warn: w.add}), nats.Name("")
	}},
	{"with an operator", func(t *testing.T, dir string, w *warnings) (*broker.Broker, nats.Option) {
		o := initOperator(t)
		b, err := broker.StartOperator(t.Context(), o, broker.OperatorOptions{StoreDir: dir, Warn: w.add})
		require.NoError(t, err)
		t.Cleanup(b.Stop)
		sys := system(t, o, b.URL())
		defer sys.Close()
		return b, push(t, o, sys).user
	}},
}

// client is one that connects again by itself.
type client struct {
	*nats.Conn
	js        jetstream.JetStream
	confirmed []int
	next      int
}

func newClient(t *testing.T, b *broker.Broker, o nats.Option) *client {
	t.Helper()
	nc, err := nats.Connect(b.URL(), o, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return &client{Conn: nc, js: js}
}

func (c *client) ask(subject string, body []byte) (*nats.Msg, error) {
	return c.Request(subject, body, 2*time.Second)
}

// publish sends another message: its number and as many blanks.
func (c *client) publish(blanks int) error {
	body := append([]byte(strconv.Itoa(c.next)), bytes.Repeat([]byte(" "), blanks)...)
	c.next++
	answer, err := c.ask("things", body)
	if err != nil {
		return err
	}
	var ack struct {
		Stream string
		Error  *struct{ Description string }
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return err
	}
	if ack.Error != nil {
		return errors.New(ack.Error.Description)
	}
	c.confirmed = append(c.confirmed, c.next-1)
	return nil
}

func (c *client) createStream(t *testing.T) jetstream.Stream {
	t.Helper()
	s, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"things"}, AllowDirect: true, AllowAtomicPublish: true})
	require.NoError(t, err)
	return s
}

// publishUntilFull publishes until the broker says that it stores nothing on the small disk that a directory is.
func (c *client) publishUntilFull(t *testing.T, b *broker.Broker, dir string) {
	t.Helper()
	until(t, "nothing is stored any more", func() bool {
		_ = c.publish(4 << 20)
		return b.Reason() != ""
	})
	require.NotEmpty(t, c.confirmed)
	smalldisk.Fill(t, dir, 512<<10) // too little to try whether it works again
}

// hasAllThatWasConfirmed wants every message there to which the broker has said yes.
func (c *client) hasAllThatWasConfirmed(t *testing.T) {
	t.Helper()
	var s jetstream.Stream
	until(t, "the stream is there", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var err error
		s, err = c.js.Stream(ctx, "s")
		return err == nil
	})
	there := make(map[int]bool)
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(msg.Data)))
		require.NoError(t, err)
		there[n] = true
	}
	for _, n := range c.confirmed {
		require.Truef(t, there[n], "message %d of %v is lost", n, c.confirmed)
	}
}

func TestStoresAgainOnceThereIsRoom(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			dir := smallDisk(t)
			var told warnings
			b, user := kind.start(t, dir, &told)
			url := b.URL()
			c, other := newClient(t, b, user), newClient(t, b, user)
			_, err := other.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) })
			require.NoError(t, err)
			s := c.createStream(t)
			for range 5 {
				require.NoError(t, c.publish(0))
			}

			// nats-server says yes to an acknowledgement before it stores it. It does so within a tenth of a second, and once
			// more when it ends, if that failed; what fails then as well, because the disk has no room for some bytes, is
			// delivered again. Here there is room for them: that of the first large message which was not stored.
			consumer, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "c", AckWait: time.Second})
			require.NoError(t, err)
			batch, err := consumer.Fetch(2)
			require.NoError(t, err)
			for msg := range batch.Messages() {
				require.NoError(t, msg.DoubleAck(t.Context()))
			}
			require.NoError(t, batch.Error())

			c.publishUntilFull(t, b, dir)
			want := "no space left on device in " + dir
			require.Equal(t, want, b.Reason())
			until(t, "a publisher is told that nobody stores", func() bool {
				return errors.Is(c.publish(0), nats.ErrNoResponders)
			})
			until(t, "clients talk to each other", func() bool {
				answer, err := c.ask("echo", []byte("x"))
				return err == nil && string(answer.Data) == "x"
			})
			require.Equal(t, want, b.Reason())
			require.Equal(t, url, b.URL())
			require.Equal(t, 1, told.count("no space left"), told.all())
			require.Equal(t, 1, told.count("the broker stores nothing: "+want+"; it goes on by itself once there is room"), told.all())

			enlarge(t, dir)
			until(t, "it stores again", func() bool { return b.Reason() == "" })
			until(t, "it says so", func() bool { return told.count("the broker stores again") == 1 })
			until(t, "a message is stored", func() bool { return c.publish(0) == nil })
			require.Equal(t, url, b.URL())
			c.hasAllThatWasConfirmed(t)
			require.NoFileExists(t, filepath.Join(dir, ".probe"))

			consumer, err = c.js.Consumer(t.Context(), "s", "c")
			require.NoError(t, err)
			batch, err = consumer.Fetch(3)
			require.NoError(t, err)
			var got []uint64
			for msg := range batch.Messages() {
				meta, err := msg.Metadata()
				require.NoError(t, err)
				got = append(got, meta.Sequence.Stream)
			}
			require.NoError(t, batch.Error())
			require.Equal(t, []uint64{3, 4, 5}, got)
		})
	}
}

func TestTakesAccountsWhileItStoresNothing(t *testing.T) {
	dir := smallDisk(t)
	o := initOperator(t)
	b, err := broker.StartOperator(t.Context(), o, broker.OperatorOptions{StoreDir: dir})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	sys := newClient(t, b, nats.UserCredentials(o.SystemCreds()))
	c := newClient(t, b, push(t, o, sys.Conn).user)
	c.createStream(t)
	c.publishUntilFull(t, b, dir)
	until(t, "a publisher is told that nobody stores", func() bool {
		return errors.Is(c.publish(0), nats.ErrNoResponders)
	})

	another := push(t, o, system(t, o, b.URL()))
	nc, err := nats.Connect(b.URL(), another.user)
	require.NoError(t, err)
	nc.Close()
	enlarge(t, dir)
	until(t, "it stores again", func() bool { return b.Reason() == "" })
	store(t, b.URL(), another, "s", "x")
	require.Equal(t, []string{"x"}, stored(t, b.URL(), another, "s"))
}

func TestNoticesThatABatchFindsNoRoom(t *testing.T) {
	dir := smallDisk(t)
	b := start(t, broker.Options{StoreDir: dir})
	c := newClient(t, b, nats.Name(""))
	c.createStream(t)
	i := 0
	until(t, "nothing is stored any more", func() bool {
		i++
		msg := nats.NewMsg("things")
		msg.Header.Set("Nats-Batch-Id", strconv.Itoa(i))
		msg.Header.Set("Nats-Batch-Sequence", "1")
		msg.Header.Set("Nats-Batch-Commit", "1")
		msg.Data = make([]byte, 4<<20)
		_, _ = c.RequestMsg(msg, 2*time.Second)
		return b.Reason() != ""
	})
	enlarge(t, dir)
	until(t, "it stores again", func() bool { return b.Reason() == "" })
	until(t, "a message is stored", func() bool { return c.publish(0) == nil })
}

func TestStopsWhileItStoresNothing(t *testing.T) {
	for _, settle := range []bool{false, true} {
		t.Run("settled "+strconv.FormatBool(settle), func(t *testing.T) {
			dir := smallDisk(t)
			b := start(t, broker.Options{StoreDir: dir})
			c := newClient(t, b, nats.Name(""))
			c.createStream(t)
			c.publishUntilFull(t, b, dir)
			if settle { // else it is just being started without JetStream
				until(t, "a publisher is told that nobody stores", func() bool {
					return errors.Is(c.publish(0), nats.ErrNoResponders)
				})
				smalldisk.Fill(t, dir, 0)
			}
			b.Stop()
			_, err := nats.Connect(b.URL())
			require.ErrorIs(t, err, nats.ErrNoServers)

			enlarge(t, dir)
			b = start(t, broker.Options{StoreDir: dir})
			again := newClient(t, b, nats.Name(""))
			again.confirmed = c.confirmed
			again.hasAllThatWasConfirmed(t)
		})
	}
}

func TestGoesOnWithoutJetStreamWhereThatCannotBeStarted(t *testing.T) {
	dir := smallDisk(t)
	var told warnings
	b := start(t, broker.Options{StoreDir: dir, Warn: told.add})
	c := newClient(t, b, nats.Name(""))
	c.createStream(t)
	c.publishUntilFull(t, b, dir)
	until(t, "a publisher is told that nobody stores", func() bool {
		return errors.Is(c.publish(0), nats.ErrNoResponders)
	})
	streams, aside := filepath.Join(dir, "jetstream"), filepath.Join(dir, "aside")
	require.NoError(t, os.Rename(streams, aside))
	require.NoError(t, os.WriteFile(streams, nil, 0o600))

	enlarge(t, dir)
	until(t, "the reason is another", func() bool { return strings.Contains(b.Reason(), "storage directory is not a directory") })
	until(t, "a publisher is told that nobody stores", func() bool {
		return errors.Is(c.publish(0), nats.ErrNoResponders)
	})
	require.NotEmpty(t, b.Reason())

	require.NoError(t, os.Remove(streams))
	require.NoError(t, os.Rename(aside, streams))
	until(t, "it stores again", func() bool { return b.Reason() == "" })
	require.Equal(t, 1, told.count("the broker stores nothing: cannot start the broker: "), told.all())
	c.hasAllThatWasConfirmed(t)
	until(t, "a message is stored", func() bool { return c.publish(0) == nil })
}
