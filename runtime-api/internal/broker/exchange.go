package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
)

func (b *Broker) consumerInfo(ctx context.Context, c plan.Consumer) (*jetstream.ConsumerInfo, error) {
	var info *jetstream.ConsumerInfo
	err := b.call(ctx, func(ctx context.Context) error {
		consumer, err := b.js.Consumer(ctx, c.Stream, c.Name)
		if err == nil {
			info = consumer.CachedInfo()
		}
		return err
	})
	return info, err
}

func (b *Broker) deleteStream(ctx context.Context, name string) error {
	err := b.call(ctx, func(ctx context.Context) error { return b.js.DeleteStream(ctx, name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return b.fault(err, "remove stream %s", name)
}

func (b *Broker) deleteConsumer(ctx context.Context, stream, name string) error {
	err := b.call(ctx, func(ctx context.Context) error { return b.js.DeleteConsumer(ctx, stream, name) })
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return b.fault(err, "remove consumer %s of stream %s", name, stream)
}

// call makes one exchange with the broker, in bounded time.
func (b *Broker) call(ctx context.Context, exchange func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return exchange(ctx)
}

// Codes of the broker's answers that nats.go gives no name to.
const (
	codeStreamInvalidConfig jetstream.ErrorCode = 10052
	codeInsufficientStorage jetstream.ErrorCode = 10047
	codeInsufficientMemory  jetstream.ErrorCode = 10028
	codeInsufficient        jetstream.ErrorCode = 10023
	codeMaxStreams          jetstream.ErrorCode = 10027
)

// refusedInPlace tells whether the broker refused to change what exists.
func refusedInPlace(err error) bool {
	switch codeOf(err) {
	case codeStreamInvalidConfig, jetstream.JSErrCodeConsumerCreate, jetstream.JSErrCodeConsumerNameExists,
		jetstream.JSErrCodeConsumerAlreadyExists, jetstream.JSErrCodeConsumerExists:
		return true
	}
	return false
}

func codeOf(err error) jetstream.ErrorCode {
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) {
		return apiErr.ErrorCode
	}
	return 0
}

// fault gives an error of the client a kind. It returns nil for nil.
func (b *Broker) fault(err error, doing string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(doing, args...)
	switch codeOf(err) {
	case codeInsufficient, codeInsufficientMemory, codeInsufficientStorage, codeMaxStreams, jetstream.JSErrCodeMaximumConsumersLimit:
		return fault.Wrap(fault.Exhausted, err, "the broker at %s has no room left: cannot %s", b.servers, what)
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return fault.Wrap(fault.Unavailable, err, "JetStream is not enabled at the broker at %s: cannot %s", b.servers, what)
	}
	var apiErr *jetstream.APIError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrDisconnected), errors.As(err, &apiErr) && apiErr.Code == 503:
		return fault.Wrap(fault.Unavailable, err, "the broker at %s did not answer: cannot %s", b.servers, what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
