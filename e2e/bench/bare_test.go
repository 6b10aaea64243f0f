package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/kit/ports"
)

// The physical limit of a chain: the same three hops on bare NATS. A server with file storage, one stream for each hop and
// one process for each node, which passes a message on, waits for no confirmation and acknowledges what it got when there
// is one; no gRPC, no SDK, no ids, no confirmed replies. The nodes are programs in Go, or in Python with its client of NATS.

const bareNode = "bare-node" // the argument that makes this program a node, followed by URL and index

var bareStreams = [...]string{"entry", "first", "second"}

const bareReplyHeader = "Reply-To"

// bareChain answers requests over bare NATS.
type bareChain struct {
	js    jetstream.JetStream
	inbox string

	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// bareGo is the command of a node.
func bareGo(_ *testing.B, url string, index int) *exec.Cmd {
	return exec.Command(os.Args[0], bareNode, url, strconv.Itoa(index))
}

// barePython returns what makes the command of a node in Python out of its program: "plain", as the documentation of its client
// has it, or "pipelined", as fast as that client goes.
func barePython(program string) func(b *testing.B, url string, index int) *exec.Cmd {
	file := filepath.Join("testdata", "bare-python", program+".py")
	return func(b *testing.B, url string, index int) *exec.Cmd {
		return exec.Command(harness.Tool(b, "python3", "KRE_BENCH_PYTHON"), file, url, strconv.Itoa(index))
	}
}

func startBareChain(b *testing.B, node func(b *testing.B, url string, index int) *exec.Cmd) *bareChain {
	b.Helper()
	dir := b.TempDir()
	port, err := ports.Pick(nil)
	require.NoError(b, err)
	config := filepath.Join(dir, "nats.conf")
	require.NoError(b, os.WriteFile(config, fmt.Appendf(nil, "listen: %q\njetstream { store_dir: %q }\nlog_file: %q\n",
		ports.Address(ports.Loopback, port), filepath.Join(dir, "js"), filepath.Join(dir, "log")), 0o600))
	url := "nats://" + ports.Address(ports.Loopback, port)
	startBare(b, exec.Command(harness.Tool(b, "nats-server", "KRE_TEST_NATS_SERVER"), "-c", config))
	connected := make(chan struct{})
	conn, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1),
		nats.ConnectHandler(func(*nats.Conn) { close(connected) }))
	require.NoError(b, err)
	b.Cleanup(conn.Close)
	select {
	case <-connected:
	case <-time.After(harness.Patience):
		require.FailNow(b, "nats-server takes no connections")
	}
	c := &bareChain{inbox: conn.NewInbox() + ".", waiting: make(map[string]chan struct{})}
	c.js, err = jetstream.New(conn)
	require.NoError(b, err)
	for i, stream := range bareStreams {
		_, err := c.js.CreateStream(b.Context(), jetstream.StreamConfig{
			Name: stream, Subjects: []string{stream}, Retention: jetstream.InterestPolicy, Storage: jetstream.FileStorage,
		})
		require.NoError(b, err)
		_, err = c.js.CreateConsumer(b.Context(), stream, jetstream.ConsumerConfig{
			Durable: "node", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 4096,
		})
		require.NoError(b, err)
		startBare(b, node(b, url, i))
	}
	_, err = conn.Subscribe(c.inbox+"*", func(msg *nats.Msg) {
		id := strings.TrimPrefix(msg.Subject, c.inbox)
		c.mu.Lock()
		answered := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if answered != nil {
			close(answered)
		}
	})
	require.NoError(b, err)
	return c
}

func startBare(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	cmd.Stderr = os.Stderr
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // by that signal
	})
}

// call sends a body through the chain under an id and waits for its answer.
func (c *bareChain) call(ctx context.Context, id string, body []byte) error {
	answered := make(chan struct{})
	c.mu.Lock()
	c.waiting[id] = answered
	c.mu.Unlock()
	msg := &nats.Msg{Subject: bareStreams[0], Data: body, Header: nats.Header{bareReplyHeader: {c.inbox + id}}}
	if _, err := c.js.PublishMsgAsync(msg); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", id, ctx.Err())
	}
}

// runBareNode passes on what comes, until it is killed.
func runBareNode(url, index string) error {
	i, err := strconv.Atoi(index)
	if err != nil {
		return fmt.Errorf("index of the node: %w", err)
	}
	conn, err := nats.Connect(url)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	consumer, err := js.Consumer(context.Background(), bareStreams[i], "node")
	if err != nil {
		return fmt.Errorf("finding the consumer: %w", err)
	}
	failed := make(chan error, 1)
	told := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	_, err = consumer.Consume(func(msg jetstream.Msg) {
		if i == len(bareStreams)-1 {
			if err := conn.Publish(msg.Headers().Get(bareReplyHeader), msg.Data()); err != nil {
				told(err)
			}
			if err := msg.Ack(); err != nil {
				told(err)
			}
			return
		}
		stored, err := js.PublishMsgAsync(&nats.Msg{Subject: bareStreams[i+1], Data: msg.Data(), Header: msg.Headers()})
		if err != nil {
			told(err)
			return
		}
		go func() {
			select {
			case <-stored.Ok():
				if err := msg.Ack(); err != nil {
					told(err)
				}
			case err := <-stored.Err():
				told(err)
			}
		}()
	}, jetstream.PullMaxMessages(256))
	if err != nil {
		return fmt.Errorf("consuming: %w", err)
	}
	return <-failed
}
