package broker

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
)

// ownerKey is the metadata by which a stream is known as a version's. Ownership is read from there, never guessed from
// a name, so that versions whose names begin alike cannot touch each other.
const ownerKey = "kre-version"

// bucketPrefix is what NATS puts before a bucket's name to name the bucket's stream.
const bucketPrefix = "KV_"

// Apply makes the version's assets exactly those of the plan: what is missing is created, what differs is changed, what
// the plan does not name is removed. Applying a plan twice changes nothing. When it returns nil every consumer exists, so
// that no message published from then on is dropped for want of interest. When it fails, applying again goes on from
// there.
//
// Errors are of kind fault.Unavailable when the broker does not answer, fault.Precondition when an asset can neither be
// kept nor changed, fault.Exhausted when the broker has no room.
func (b *Broker) Apply(ctx context.Context, p *plan.Plan) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	present, err := b.streams(ctx)
	if err != nil {
		return err
	}
	for _, stream := range p.Streams {
		if err := b.applyStream(ctx, p.Version, stream, present[stream.Name]); err != nil {
			return err
		}
	}
	for _, bucket := range p.Buckets {
		if err := b.applyBucket(ctx, p.Version, bucket, present[bucketPrefix+bucket.Name]); err != nil {
			return err
		}
	}
	for _, consumer := range p.Consumers {
		if err := b.applyConsumer(ctx, consumer); err != nil {
			return err
		}
	}
	return b.prune(ctx, p, present)
}

// Remove removes all assets of a version, with the messages in them, and returns how many streams that were, the
// buckets' included. A version that has none is no error. Kinds of error as with Apply.
func (b *Broker) Remove(ctx context.Context, version string) (int, error) {
	if err := b.ready(ctx); err != nil {
		return 0, err
	}
	present, err := b.streams(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for name, info := range present {
		if info.Config.Metadata[ownerKey] != version {
			continue
		}
		if err := b.deleteStream(ctx, name); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// streams returns all streams of the account by name.
func (b *Broker) streams(ctx context.Context) (map[string]*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found := make(map[string]*jetstream.StreamInfo)
	list := b.js.ListStreams(ctx)
	for info := range list.Info() {
		found[info.Config.Name] = info
	}
	if err := list.Err(); err != nil {
		return nil, b.fault(err, "list the streams")
	}
	return found, nil
}

// applyStream makes one stream as planned. before is what there is under its name, or nil.
func (b *Broker) applyStream(ctx context.Context, version string, s plan.Stream, before *jetstream.StreamInfo) error {
	if err := checkOwner("stream", version, before); err != nil {
		return err
	}
	config := b.streamConfig(version, s)
	if err := b.checkRoom(ctx, s, before); err != nil {
		return err
	}
	apply := func(ctx context.Context) error {
		_, err := b.js.CreateOrUpdateStream(ctx, config)
		return err
	}
	err := b.call(ctx, apply)
	if !refusedInPlace(err) || before == nil {
		return b.fault(err, "create stream %s", s.Name)
	}
	// What is in the stream may still be wanted; an empty one is as good as a new one.
	if before.State.Msgs > 0 {
		return fault.Wrap(fault.Precondition, err, "stream %s holds %d messages and cannot be changed to what the manifest "+
			"asks for now; remove the version, or wait until the stream is empty, and prepare it again", s.Name, before.State.Msgs)
	}
	if err := b.deleteStream(ctx, s.Name); err != nil {
		return err
	}
	return b.fault(b.call(ctx, apply), "create stream %s", s.Name)
}

// checkRoom refuses a limit below what is stored already: the broker would drop the rest.
func (b *Broker) checkRoom(ctx context.Context, s plan.Stream, before *jetstream.StreamInfo) error {
	limit := uint64(s.MaxEach) //nolint:gosec // none is negative
	if limit == 0 || before == nil || before.State.Msgs <= limit {
		return nil
	}
	if was := before.Config.MaxMsgsPerSubject; was > 0 && was <= s.MaxEach {
		return nil
	}
	return b.call(ctx, func(ctx context.Context) error {
		info, err := b.streamInfo(ctx, s.Name, jetstream.WithSubjectFilter(">"))
		if err != nil {
			return b.fault(err, "look at what stream %s holds", s.Name)
		}
		for subject, stored := range info.State.Subjects {
			if stored > limit {
				return fault.New(fault.Precondition, "stream %s holds %d messages on %s, more than the %d that it may hold from "+
					"now on; wait until there are fewer, and prepare the version again", s.Name, stored, subject, limit)
			}
		}
		return nil
	})
}

func (b *Broker) streamInfo(ctx context.Context, name string, options ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.Info(ctx, options...)
}

// applyBucket makes one bucket as planned. before is what there is under the name of its stream, or nil.
func (b *Broker) applyBucket(ctx context.Context, version string, bucket plan.Bucket, before *jetstream.StreamInfo) error {
	if err := checkOwner("the stream of bucket", version, before); err != nil {
		return err
	}
	return b.fault(b.call(ctx, func(ctx context.Context) error {
		_, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:   bucket.Name,
			TTL:      bucket.TTL,
			History:  1,
			Storage:  jetstream.FileStorage,
			Replicas: b.replicas,
			Metadata: map[string]string{ownerKey: version},
		})
		return err
	}), "create bucket %s", bucket.Name)
}

// applyConsumer makes one consumer as planned.
func (b *Broker) applyConsumer(ctx context.Context, c plan.Consumer) error {
	apply := func(ctx context.Context) error {
		_, err := b.js.CreateOrUpdateConsumer(ctx, c.Stream, consumerConfig(c))
		return err
	}
	err := b.call(ctx, apply)
	if err == nil || !refusedInPlace(err) {
		return b.fault(err, "create consumer %s of stream %s", c.Name, c.Stream)
	}
	info, lookupErr := b.consumerInfo(ctx, c)
	if lookupErr != nil {
		return b.fault(err, "create consumer %s of stream %s", c.Name, c.Stream)
	}
	// A consumer's messages go with it where nobody else wants them.
	waiting, lookErr := b.waiting(ctx, c, info)
	if lookErr != nil {
		return lookErr
	}
	if waiting > 0 {
		return fault.Wrap(fault.Precondition, err, "consumer %s of stream %s has %d messages and cannot be changed to what the "+
			"manifest asks for now; remove the version, or wait until they are handled, and prepare it again",
			c.Name, c.Stream, waiting)
	}
	if err := b.deleteConsumer(ctx, c.Stream, c.Name); err != nil {
		return err
	}
	return b.fault(b.call(ctx, apply), "create consumer %s of stream %s", c.Name, c.Stream)
}

// waiting counts the messages that a consumer has not handled. What it tells itself may lag behind what is confirmed to a
// publisher, so that the last message of each of its subjects is looked at, too.
func (b *Broker) waiting(ctx context.Context, c plan.Consumer, info *jetstream.ConsumerInfo) (uint64, error) {
	if told := info.NumPending + uint64(info.NumAckPending); told > 0 {
		return told, nil
	}
	var behind uint64
	err := b.call(ctx, func(ctx context.Context) error {
		stream, err := b.js.Stream(ctx, c.Stream)
		if err != nil {
			return err
		}
		for _, filter := range c.Filters {
			last, err := stream.GetLastMsgForSubject(ctx, filter)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if last.Sequence > info.Delivered.Stream {
				behind++
			}
		}
		return nil
	})
	return behind, b.fault(err, "look at what consumer %s of stream %s has not handled", c.Name, c.Stream)
}

// prune removes what the version had before and the plan no longer names.
func (b *Broker) prune(ctx context.Context, p *plan.Plan, before map[string]*jetstream.StreamInfo) error {
	planned := make(map[string]map[string]bool) // stream → its consumers
	for _, stream := range p.Streams {
		planned[stream.Name] = make(map[string]bool)
	}
	for _, bucket := range p.Buckets {
		planned[bucketPrefix+bucket.Name] = nil
	}
	for _, consumer := range p.Consumers {
		planned[consumer.Stream][consumer.Name] = true
	}
	for name, info := range before {
		if info.Config.Metadata[ownerKey] != p.Version {
			continue
		}
		consumers, wanted := planned[name]
		switch {
		case !wanted:
			if err := b.deleteStream(ctx, name); err != nil {
				return err
			}
		case consumers != nil: // people may watch a bucket
			if err := b.pruneConsumers(ctx, name, consumers); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Broker) pruneConsumers(ctx context.Context, stream string, planned map[string]bool) error {
	var names []string
	err := b.call(ctx, func(ctx context.Context) error {
		s, err := b.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		list := s.ListConsumers(ctx)
		for info := range list.Info() {
			if info.Config.Durable != "" && !planned[info.Name] {
				names = append(names, info.Name)
			}
		}
		return list.Err()
	})
	if err != nil {
		return b.fault(err, "list the consumers of stream %s", stream)
	}
	for _, name := range names {
		if err := b.deleteConsumer(ctx, stream, name); err != nil {
			return err
		}
	}
	return nil
}
