package test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// BenchmarkThreeNodes has 32 callers wait for the answers of a chain of three nodes, everything in this process: broker,
// nodes and callers. It measures the SDK, without entrypoint and gRPC.
func BenchmarkThreeNodes(b *testing.B) {
	const callers = 32
	bed := newBenchBed(b)
	nc, err := nats.Connect(bed.url())
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(b, err)
	var waiting sync.Map
	_, err = nc.Subscribe(replyTo, func(msg *nats.Msg) {
		reply, err := wire.ParseReply(msg.Header, msg.Data)
		if err != nil || reply.IsNote() {
			b.Errorf("not an answer: %v %v", reply.Kind, err)
			return
		}
		if answered, ok := waiting.LoadAndDelete(reply.RequestID); ok {
			close(answered.(chan struct{}))
		}
		_ = msg.Respond(nil)
	})
	require.NoError(b, err)

	body := wrapperspb.String(fmt.Sprintf("%0100d", 1))
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				m := bed.request(body)
				id := fmt.Sprintf("01JD7QZ8X5N3V9T4B6%08d", i)
				m.ID, m.RequestID = id, id
				answered := make(chan struct{})
				waiting.Store(id, answered)
				header := nats.Header(m.Header())
				header.Set(nats.MsgIdHdr, id)
				if _, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: entrySubject, Header: header, Data: m.Body}); err != nil {
					b.Errorf("the entry message is not stored: %v", err)
					return
				}
				<-answered
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func newBenchBed(b *testing.B) *bed {
	b.Helper()
	bed := newBed(b)
	chain := []string{"a", "b", "c"}
	for i, name := range chain {
		node := config.Node{
			Version: "v1", Workflow: "chain", Name: name, ID: name, MaxAttempts: 3, TimeoutMs: 30_000, OnPath: true,
			Sources:     []config.Source{{Stream: "chain_" + name, Consumer: name}},
			DeadLetters: config.DeadLetters{Stream: deadStream, Subject: deadSubject}, Starts: startsBucket,
		}
		if i == 0 {
			node.Sources = []config.Source{{Stream: entryStream, Consumer: "n-1"}}
		} else {
			_, err := bed.js.CreateStream(b.Context(), jetstream.StreamConfig{
				Name: "chain_" + name, Subjects: []string{"chain." + name}, Retention: jetstream.InterestPolicy,
				Discard: jetstream.DiscardNew, AllowAtomicPublish: true,
			})
			require.NoError(b, err)
			_, err = bed.js.CreateConsumer(b.Context(), "chain_"+name, jetstream.ConsumerConfig{
				Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4096,
			})
			require.NoError(b, err)
		}
		if i < len(chain)-1 {
			node.Output = &config.Output{
				Stream: "chain_" + chain[i+1], Error: "chain." + chain[i+1],
				Channels: map[string]string{"": "chain." + chain[i+1]},
			}
		} else {
			node.Exitpoint = true
		}
		bed.run(node, kre.Handler(echo))
	}
	return bed
}
