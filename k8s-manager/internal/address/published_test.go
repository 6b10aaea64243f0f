package address_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/k8s-manager/internal/address"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
)

// buildEntrypoint builds the program from its source.
func buildEntrypoint(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "entrypoint")
	build := exec.Command("go", "build", "-o", program, "./cmd/entrypoint")
	build.Dir = "../../../runner-sdk/entrypoint"
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// version is a started version of one node, which answers each request with the version's name.
type version struct {
	name    string
	target  address.Target
	control string
}

func startVersion(t *testing.T, program, url, name string) version {
	t.Helper()
	text := fmt.Sprintf(`
version: %s
workflows:
  - {name: w, entrypoint: Ask, exitpoint: echo, nodes: [{name: echo, image: x, src: bin/echo, subscriptions: [entrypoint]}]}
`, name)
	m, problems := manifest.Parse("krt.yml", []byte(text))
	require.Empty(t, problems)
	p := plan.New(m)
	p.Entrypoint.Proto = "" // a manifest alone cannot know that the package has none
	if p.Entrypoint.Control == "" {
		p.Entrypoint.Control = "kre." + name + "._control.entrypoint"
	}
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	for _, stream := range p.Streams {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream.Name, Subjects: stream.Subjects})
		require.NoError(t, err)
	}
	for _, c := range p.Consumers {
		consumer, err := js.CreateConsumer(t.Context(), c.Stream, jetstream.ConsumerConfig{
			Durable: c.Name, FilterSubjects: c.Filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.AckWait,
		})
		require.NoError(t, err)
		consuming, err := consumer.Consume(func(msg jetstream.Msg) { go echo(t, conn, name, msg) })
		require.NoError(t, err)
		t.Cleanup(func() { consuming.Stop(); <-consuming.Closed() })
	}
	config := filepath.Join(t.TempDir(), "entrypoint.json")
	data, err := json.Marshal(p.Entrypoint)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, data, 0o600))
	started := start(t, program, "KRE_CONFIG="+config, "KRE_NATS_URL="+url, "KRE_PACKAGE="+t.TempDir(),
		"KRE_GRPC_ADDR=127.0.0.1:0", "KRE_HTTP_ADDR=127.0.0.1:0")
	return version{name: name, target: started.ports(), control: p.Entrypoint.Control}
}

// echo plays the node, as runner-sdk/spec/protocol.md has it.
func echo(t *testing.T, conn *nats.Conn, name string, msg jetstream.Msg) {
	body, err := answerOf(name)
	if err != nil {
		t.Errorf("answering: %v", err)
		return
	}
	reply := &nats.Msg{Subject: msg.Headers().Get("Kre-Reply-To"), Data: body, Header: nats.Header{
		"Kre-Request-Id": {msg.Headers().Get("Kre-Request-Id")}, "Kre-Sender": {"echo"}, "Kre-Kind": {"ok"},
	}}
	for range 60 {
		if _, err = conn.RequestMsg(reply, time.Second); err == nil {
			break
		}
		if errors.Is(err, nats.ErrConnectionClosed) { // the test is over
			return
		}
	}
	if err := errors.Join(err, msg.Ack()); err != nil {
		t.Errorf("answering: %v", err)
	}
}

func answerOf(name string) ([]byte, error) {
	answer, err := structpb.NewStruct(map[string]any{"version": name})
	if err != nil {
		return nil, err
	}
	wrapped, err := anypb.New(answer)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(wrapped)
}

// caller asks over one port, and knows which version answered it last.
type caller struct {
	ask    func(ctx context.Context) (version string, err error)
	last   atomic.Value
	calls  atomic.Int64
	failed atomic.Int64
}

func (c *caller) run(t *testing.T, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		name, err := c.ask(ctx)
		cancel()
		c.calls.Add(1)
		if err != nil {
			c.failed.Add(1)
			t.Errorf("a call failed: %v", err)
			return
		}
		c.last.Store(name)
	}
}

func overGRPC(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	var answer structpb.Struct
	err := conn.Invoke(ctx, "/kre.Entrypoint/Ask", &structpb.Struct{}, &answer)
	return answer.GetFields()["version"].GetStringValue(), err
}

func overHTTP(ctx context.Context, client *http.Client, at string) (name string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at+"/kre.Entrypoint/Ask", strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var answer struct{ Version string }
	if err := json.Unmarshal(body, &answer); err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%d %s: %w", response.StatusCode, body, err)
	}
	return answer.Version, nil
}

// callers are eight of each kind: gRPC and HTTP, on connections that are kept and on a fresh one for each call.
func callers(t *testing.T, at address.Target) []*caller {
	t.Helper()
	const each = 8
	var all []*caller
	credentials := grpc.WithTransportCredentials(insecure.NewCredentials())
	shared := dialGRPC(t, at.GRPC)
	for i := range each {
		kept := shared
		if i%2 == 0 {
			kept = dialGRPC(t, at.GRPC)
		}
		client := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(client.CloseIdleConnections)
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		all = append(all,
			&caller{ask: func(ctx context.Context) (string, error) { return overGRPC(ctx, kept) }},
			&caller{ask: func(ctx context.Context) (string, error) {
				conn, err := grpc.NewClient("passthrough:///"+at.GRPC, credentials)
				if err != nil {
					return "", err
				}
				name, err := overGRPC(ctx, conn)
				return name, errors.Join(err, conn.Close())
			}},
			&caller{ask: func(ctx context.Context) (string, error) { return overHTTP(ctx, client, at.HTTP) }},
			&caller{ask: func(ctx context.Context) (string, error) { return overHTTP(ctx, fresh, at.HTTP) }},
		)
	}
	return all
}

func TestPublishingOneVersionOverAnotherFailsNoCall(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	conn, err := nats.Connect(b.URL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	program := buildEntrypoint(t)
	versions := []version{startVersion(t, program, b.URL(), "a"), startVersion(t, program, b.URL(), "b")}
	h := hold(t, &versions[0].target)
	all := callers(t, h.Target)
	over := make(chan struct{})
	var running sync.WaitGroup
	for _, c := range all {
		running.Go(func() { c.run(t, over) })
	}
	answeredBy := func(name string) func() bool {
		return func() bool {
			for _, c := range all {
				if c.last.Load() != name && c.failed.Load() == 0 {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "every caller is answered by a", answeredBy("a"))
	const swaps = 6
	for i := range swaps {
		before, next := versions[i%2], versions[(i+1)%2]
		began := time.Now()
		h.lead(next.target)
		led := time.Since(began)
		answer, err := conn.Request(before.control, []byte(`{"command": "move"}`), patience)
		require.NoError(t, err)
		eventually(t, "every caller is answered by "+next.name, answeredBy(next.name))
		t.Logf("new connections led to %s after %s, all traffic there after %s; the one before said %s",
			next.name, led.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), answer.Data)
	}
	close(over)
	running.Wait()
	calls, failed := int64(0), int64(0)
	for _, c := range all {
		calls += c.calls.Load()
		failed += c.failed.Load()
	}
	t.Logf("%d calls by %d callers, %d failed", calls, len(all), failed)
	require.Zero(t, failed)
}
