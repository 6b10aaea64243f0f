package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// audit sees every message that a version stores: it has a consumer of its own at each stream, so that a message stays there
// until the audit has seen it, too.
type audit struct {
	harness.Broker

	mu       sync.Mutex
	places   map[message]map[place]bool
	problems []string
}

// auditAckWait is how soon what the audit's confirmation was lost for is delivered again.
const auditAckWait = 5 * time.Second

// message is what may be stored only once.
type message struct{ subject, id string }

// place is where it was stored. A broker that was killed may give a sequence again, at another time.
type place struct {
	sequence uint64
	at       time.Time
}

func startAudit(t *testing.T, broker harness.Broker) *audit {
	t.Helper()
	a := &audit{Broker: broker, places: make(map[message]map[place]bool)}
	names := broker.StreamNames(t.Context())
	for name := range names.Name() {
		if strings.HasPrefix(name, "entry_") || strings.HasPrefix(name, "node_") {
			a.follow(t, name)
		}
	}
	require.NoError(t, names.Err())
	return a
}

func (a *audit) follow(t *testing.T, stream string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	consumer, err := a.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: "audit", AckPolicy: jetstream.AckExplicitPolicy, AckWait: auditAckWait, MaxAckPending: -1,
	})
	require.NoError(t, err)
	following, err := consumer.Consume(a.see, jetstream.PullMaxMessages(1000))
	require.NoError(t, err)
	t.Cleanup(following.Stop)
}

// see keeps where a message is. A second delivery of the same changes nothing.
func (a *audit) see(msg jetstream.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	told, err := msg.Metadata()
	if err != nil {
		a.problems = append(a.problems, err.Error())
		return
	}
	m := message{msg.Subject(), msg.Headers().Get("Kre-Message-Id")}
	if m.id == "" {
		a.problems = append(a.problems, "a message without an id on "+m.subject)
	}
	if a.places[m] == nil {
		a.places[m] = make(map[place]bool)
	}
	a.places[m][place{told.Sequence.Stream, told.Timestamp}] = true
	_ = msg.Ack() // what the broker does not learn it delivers again
}

// stored counts the messages that were seen.
func (a *audit) stored() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.places)
}

// twice names the messages that were seen at more than one place.
func (a *audit) twice() (found []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for m, places := range a.places {
		if len(places) > 1 {
			found = append(found, fmt.Sprintf("%s %s: %v", m.subject, m.id, places))
		}
	}
	return found
}
