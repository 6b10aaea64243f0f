//go:build linux

package broker_test

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/broker"
)

// A stream of these keeps what a consumer of its own waits for. Several, so that it takes a while until a broker has found all
// of them and their consumers.
const interested = 20

// hail publishes over a connection without end, to one stream after the other, and notes what the broker has confirmed.
type hail struct {
	nc   *nats.Conn
	stop chan struct{}
	over sync.WaitGroup

	mu        sync.Mutex
	confirmed map[string]bool // by body
}

func newHail(t *testing.T, name, url string, user nats.Option) *hail {
	t.Helper()
	// Nothing is kept while there is no connection.
	nc, err := nats.Connect(url, user, nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	h := &hail{nc: nc, stop: make(chan struct{}), confirmed: make(map[string]bool)}
	inbox := nc.NewInbox()
	_, err = nc.Subscribe(inbox+".*", func(m *nats.Msg) {
		if bytes.Contains(m.Data, []byte(`"seq":`)) && !bytes.Contains(m.Data, []byte(`"error":`)) {
			h.confirm(strings.TrimPrefix(m.Subject, inbox+"."))
		}
	})
	require.NoError(t, err)
	h.over.Go(func() { h.publish(name, inbox) })
	return h
}

func (h *hail) publish(name, inbox string) {
	for i := 0; ; i++ {
		select {
		case <-h.stop:
			return
		default:
		}
		body := name + strconv.Itoa(i)
		err := h.nc.PublishRequest("s"+strconv.Itoa(i%interested), inbox+"."+body, []byte(body))
		if err != nil || i%interested == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func (h *hail) confirm(body string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed[body] = true
}

// end returns what was confirmed.
func (h *hail) end(t *testing.T) map[string]bool {
	t.Helper()
	close(h.stop)
	h.over.Wait()
	require.NoError(t, h.nc.FlushTimeout(patience))
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.confirmed) // more is confirmed even now
}

func (h *hail) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.confirmed)
}

// A broker confirms what it does not keep for want of consumers, so that there must be none that has not found them.
func TestWhatIsConfirmedAroundARestartIsKept(t *testing.T) {
	o := initOperator(t)
	dir := t.TempDir()
	for name, start := range map[string]func(port int) (*broker.Broker, error){
		"with a token": func(port int) (*broker.Broker, error) {
			return broker.Start(t.Context(), broker.Options{StoreDir: dir, Port: port, Token: "t"})
		},
		"with an operator": func(port int) (*broker.Broker, error) {
			return broker.StartOperator(t.Context(), o, broker.OperatorOptions{Port: port})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := start(0)
			require.NoError(t, err)
			defer func() { b.Stop() }()
			user := nats.Name("")
			if name == "with an operator" {
				user = push(t, o, system(t, o, b.URL())).user
			}
			url, port := b.URL(), portOf(t, b)
			js := interest(t, url, user)
			hails := []*hail{newHail(t, "a", url, user), newHail(t, "b", url, user), newHail(t, "c", url, user)}
			for range 3 {
				for _, h := range hails {
					before := h.count()
					until(t, "something is confirmed", func() bool { return h.count() > before })
				}
				b.Stop()
				b, err = start(port)
				require.NoError(t, err)
			}
			confirmed := make([]map[string]bool, 0, len(hails))
			for _, h := range hails {
				confirmed = append(confirmed, h.end(t))
			}
			there := waiting(t, js)
			for _, all := range confirmed {
				for body := range all {
					require.True(t, there[body], "%s was confirmed, and is not there", body)
				}
			}
		})
	}
}

// interest makes streams that keep what somebody waits for, and who waits.
func interest(t *testing.T, url string, user nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, user, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for i := range interested {
		name := fmt.Sprint("s", i)
		s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, Retention: jetstream.InterestPolicy})
		require.NoError(t, err)
		_, err = s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
		require.NoError(t, err)
	}
	return js
}

// waiting returns everything that the consumers get.
func waiting(t *testing.T, js jetstream.JetStream) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for i := range interested {
		var s jetstream.Stream
		until(t, "the stream is there", func() (is bool) {
			var err error
			s, err = js.Stream(t.Context(), fmt.Sprint("s", i))
			return err == nil
		})
		c, err := s.Consumer(t.Context(), "c")
		require.NoError(t, err)
		// What a consumer says to have before it is late.
		for left := int(s.CachedInfo().State.Msgs); left > 0; {
			batch, err := c.Fetch(left, jetstream.FetchMaxWait(patience))
			require.NoError(t, err)
			for msg := range batch.Messages() {
				all[string(msg.Data())] = true
				left--
			}
			require.NoError(t, batch.Error())
		}
	}
	return all
}
