package broker

import (
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// What JetStream's refusals mean. One with a code of the server's side passes, but for a full stream.
const (
	storeFailed = jetstream.ErrorCode(10077) // a limit of the stream

	serverSide      = 500
	tooManyRequests = 429
)

// confirmed tells what became of a published message.
func (b *Broker) confirmed(msg *nats.Msg) {
	id := strings.TrimPrefix(msg.Subject, b.inbox)
	if strings.HasPrefix(id, probePrefix) {
		b.refused(id, msg)
		return
	}
	if msg.Header.Get("Status") != "" { // no responders: JetStream is not there, or has no such stream yet
		b.doubt.Store(true)
		b.sink.Later(id, "")
		return
	}
	if _, is := wire.Stored(msg.Data); is {
		b.sink.Stored(id)
		return
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		b.logger.Warn("passing over a confirmation", log.RequestID(id), log.Error(err))
		return
	}
	switch failed := ack.Error; {
	case failed == nil:
		b.sink.Stored(id)
	case failed.ErrorCode == storeFailed:
		b.sink.Refused(id, exchange.Refusal{Full: true, Text: failed.Description})
	case failed.Code >= serverSide, failed.Code == tooManyRequests:
		b.logger.Debug("the broker takes no message now", log.RequestID(id), zap.String("error", failed.Description))
		b.sink.Later(id, failed.Description)
	default:
		b.sink.Refused(id, exchange.Refusal{Text: failed.Description})
	}
}
