package broker

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
)

func (b *Broker) streamConfig(version string, s plan.Stream) jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name:               s.Name,
		Subjects:           s.Subjects,
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardOld,
		MaxMsgs:            s.MaxMsgs,
		MaxAge:             s.MaxAge,
		Duplicates:         s.Duplicates,
		MaxMsgsPerSubject:  s.MaxEach,
		AllowAtomicPublish: s.Atomic,
		AllowDirect:        true,
		Replicas:           b.replicas,
		Metadata:           map[string]string{ownerKey: version},
	}
	if s.Retention == plan.Interest {
		config.Retention = jetstream.InterestPolicy
	}
	if s.DiscardNew {
		config.Discard = jetstream.DiscardNew
		config.DiscardNewPerSubject = s.MaxEach > 0
	}
	return config
}

func consumerConfig(c plan.Consumer) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:        c.Name,
		FilterSubjects: c.Filters,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        c.AckWait,
		MaxAckPending:  c.MaxAckPending,
		MaxDeliver:     -1,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		ReplayPolicy:   jetstream.ReplayInstantPolicy,
	}
}

func checkOwner(what, version string, info *jetstream.StreamInfo) error {
	if info == nil {
		return nil
	}
	switch owner := info.Config.Metadata[ownerKey]; owner {
	case version:
		return nil
	case "":
		return fault.New(fault.Precondition, "%s %s exists and is none of this platform's; remove it and prepare the version again",
			what, info.Config.Name)
	default:
		return fault.New(fault.Precondition, "%s %s belongs to version %s", what, info.Config.Name, owner)
	}
}
