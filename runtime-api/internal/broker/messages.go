package broker

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/runtime-api/internal/assets"
)

// Count counts the messages that a version's streams hold: what a stream with Interest retention holds is not yet handled
// by everyone who has to. (What a consumer tells about itself would lag behind what is confirmed to publishers.)
func (b *Broker) Count(ctx context.Context, version string) (assets.Messages, error) {
	var count assets.Messages
	err := b.owned(ctx, version, func(info *jetstream.StreamInfo) error {
		if info.Config.Retention == jetstream.InterestPolicy {
			count.Stored += int64(info.State.Msgs)
		} else {
			count.Dead += int64(info.State.Msgs)
		}
		return nil
	})
	return count, err
}

// Discard drops what Count counts as stored, and returns how many messages that were.
func (b *Broker) Discard(ctx context.Context, version string) (int64, error) {
	var dropped int64
	err := b.owned(ctx, version, func(info *jetstream.StreamInfo) error {
		if info.Config.Retention != jetstream.InterestPolicy || info.State.Msgs == 0 {
			return nil
		}
		err := b.call(ctx, func(ctx context.Context) error {
			stream, err := b.js.Stream(ctx, info.Config.Name)
			if err != nil {
				return err
			}
			return stream.Purge(ctx)
		})
		if err != nil {
			return b.fault(err, "drop the messages of stream %s", info.Config.Name)
		}
		dropped += int64(info.State.Msgs)
		return nil
	})
	return dropped, err
}

// owned calls each with every stream of a version that holds messages for people or nodes; buckets are none.
func (b *Broker) owned(ctx context.Context, version string, each func(*jetstream.StreamInfo) error) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	present, err := b.streams(ctx)
	if err != nil {
		return err
	}
	for name, info := range present {
		if info.Config.Metadata[ownerKey] != version || strings.HasPrefix(name, bucketPrefix) {
			continue
		}
		if err := each(info); err != nil {
			return err
		}
	}
	return nil
}
