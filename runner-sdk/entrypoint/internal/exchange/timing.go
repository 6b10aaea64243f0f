package exchange

import (
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// timing splits the time of a call into `total=…;queue=…;<node>=…;…;reply=…`, in microseconds: first the whole, then what
// no node and no reply accounts for, then the handlers in their order, and last the reply's way back. The sender's clock
// is another one, so that a part is never less than nothing nor more than the whole.
func timing(reply wire.Reply, begun, now time.Time) string {
	total := now.Sub(begun)
	var back time.Duration
	if !reply.SentAt.IsZero() {
		back = min(max(0, now.Sub(reply.SentAt)), total)
	}
	queue := total - back
	steps, err := reply.Timing.Steps()
	if err != nil {
		steps = nil // a reply is parsed strictly: it has none that cannot be read
	}
	for _, step := range steps {
		queue -= step.Spent
	}
	b := make([]byte, 0, 128)
	b = entry(b, "total", total)
	b = entry(b, "queue", max(0, queue))
	for _, step := range steps {
		b = entry(b, strings.ReplaceAll(step.Node, ";", "_"), step.Spent)
	}
	b = entry(b, "reply", back)
	return string(b[:len(b)-1])
}

func entry(b []byte, name string, spent time.Duration) []byte {
	b = append(b, name...)
	b = append(b, '=')
	b = strconv.AppendInt(b, spent.Microseconds(), 10)
	return append(b, ';')
}
