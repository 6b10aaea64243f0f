package instance_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// BenchmarkCalls is what the entrypoint costs with 32 callers and a node that answers at once: broker, node and callers
// share the process, so that it is good for comparisons only.
func BenchmarkCalls(b *testing.B) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	for name, call := range map[string]func(w *world) error{
		"gRPC": func(w *world) error {
			var out wrapperspb.StringValue
			return w.grpc.Invoke(b.Context(), "/echo.Echo/Say", wrapperspb.String("hello"), &out)
		},
		"JSON": func(w *world) error {
			answer, err := client.Post(w.url+"/echo.Echo/Say", "application/json", strings.NewReader(`"hello"`))
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, answer.Body)
			return errors.Join(err, answer.Body.Close())
		},
	} {
		b.Run(name, func(b *testing.B) {
			w := &world{t: b, nats: startNATS(b, 0, b.TempDir()), logger: zap.NewNop()}
			w.options = newWorldOptions(w)
			w.prepare()
			w.start()
			require.NoError(b, w.instance.Await(within(b)))
			w.answerAtOnce()
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := call(w); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// answerAtOnce is a node that spends as little as possible.
func (w *world) answerAtOnce() {
	conn := w.nats.connect(w.t)
	js, err := jetstream.New(conn)
	require.NoError(w.t, err)
	consumer, err := js.Consumer(within(w.t), "entry_say", "node")
	require.NoError(w.t, err)
	body := textBody("hello")
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		header := msg.Headers()
		reply := wire.Reply{RequestID: header.Get(wire.HeaderRequestID), Sender: "exit", Kind: wire.OK, Body: body}
		if err := conn.PublishMsg(&nats.Msg{Subject: header.Get(wire.HeaderReplyTo), Header: reply.Header(), Data: body}); err != nil {
			w.t.Errorf("replying: %v", err)
		}
		if err := msg.Ack(); err != nil {
			w.t.Errorf("acknowledging: %v", err)
		}
	})
	require.NoError(w.t, err)
	w.t.Cleanup(consuming.Stop)
}
