package plan

import (
	"time"

	"github.com/konstellation-io/kre/krt/manifest"
)

// What every version gets.
const (
	maxMsgs       = 100_000         // of a stream, or of each subject of a node's stream
	duplicates    = time.Minute     // how long an id is known
	ackWait       = 2 * time.Second // how long the messages of a killed node stay away
	maxAckPending = 4096
	startsTTL     = 24 * time.Hour
)

// New makes the plan of a manifest without problems. The same manifest always gives the same plan: workflows and nodes
// are in the manifest's order, and a node's sources are the entry stream and then its subscriptions as they are written.
func New(m *manifest.Manifest) *Plan {
	p := &Plan{
		Version: m.ID,
		Buckets: []Bucket{{Name: "starts_" + m.ID, TTL: startsTTL}},
		Entrypoint: Entrypoint{
			Version: m.ID,
			Proto:   m.Proto,
			ReplyTo: "kre." + m.ID + "._reply",
			Control: Control(m.ID),
			Status:  Status(m.ID) + ".entrypoint.entrypoint",
			Inbox:   Inbox(m.ID),
		},
	}
	for _, w := range m.Workflows {
		p.workflow(graph{names: names{m.ID, w.ID}, Workflow: w})
	}
	p.Streams = append(p.Streams, Stream{
		Name:       deadStream(m.ID),
		Subjects:   []string{"kre." + m.ID + "._dead.>"},
		Retention:  Limits,
		MaxMsgs:    maxMsgs,
		Duplicates: duplicates,
	})
	return p
}

func (p *Plan) workflow(g graph) {
	p.Streams = append(p.Streams, pushingBack(g.entryStream(), g.entry(), g.to("*")))
	onPath := g.onPath()
	target := EntrypointTarget{
		Name: g.Name, ID: g.ID, RPC: g.RPC,
		Stream: g.entryStream(), Subject: g.entry(),
		TimeoutMs: g.Timeout.Milliseconds(),
		Expired:   unlessDrop(g.Expired),
		Questions: Questions(p.Version) + "." + g.ID,
		Path:      g.path(onPath),
	}
	for _, n := range g.Nodes {
		if g.hasSubscribers(n) {
			p.Streams = append(p.Streams, eachPushingBack(g.nodeStream(n.ID), g.from(n.ID)+".>"))
		}
		config := Node{
			Version: p.Version, Workflow: g.ID, Node: n.Name, ID: n.ID, Src: n.Src,
			Exitpoint:   n.Name == g.Exitpoint,
			OnPath:      onPath[n.Name],
			Heard:       len(g.subscribed(n.Name, g.isExitpoint)) > 0,
			MaxAttempts: g.MaxAttempts,
			TimeoutMs:   g.Timeout.Milliseconds(),
			Expired:     unlessDrop(g.Expired),
			Output:      g.output(n),
			Parcels:     g.parcels(n),
			DeadLetters: DeadLetters{Stream: deadStream(p.Version), Subject: g.dead(n.ID)},
			Starts:      "starts_" + p.Version,
			Status:      Status(p.Version) + "." + g.ID + "." + n.ID,
			Questions:   target.Questions,
			Inbox:       Inbox(p.Version),
		}
		for _, consumer := range g.consumers(n) {
			p.Consumers = append(p.Consumers, consumer)
			config.Sources = append(config.Sources, Source{Stream: consumer.Stream, Consumer: consumer.Name})
		}
		target.Consumers = append(target.Consumers, config.Sources...)
		if config.Parcels != nil {
			p.Consumers = append(p.Consumers, config.Parcels.consumer())
			target.Consumers = append(target.Consumers, config.Parcels.Source)
		}
		p.Nodes = append(p.Nodes, config)
	}
	p.Entrypoint.Workflows = append(p.Entrypoint.Workflows, target)
}

// unlessDrop is empty for what every plan meant before a manifest could say otherwise, so that those plans stay as they were.
func unlessDrop(expired string) string {
	if expired == manifest.ExpiredDrop {
		return ""
	}
	return expired
}

// pushingBack is a stream that refuses when it is full, down to the entry, and forgets what every subscriber has handled.
func pushingBack(name string, subjects ...string) Stream {
	return Stream{
		Name: name, Subjects: subjects,
		Retention: Interest, DiscardNew: true, MaxMsgs: maxMsgs, Duplicates: duplicates, Atomic: true,
	}
}

// eachPushingBack is pushingBack with a limit for each subject, so that a subject whose subscribers are away leaves room for
// the others, and parcels that wait leave room for what is in them.
func eachPushingBack(name string, subjects ...string) Stream {
	s := pushingBack(name, subjects...)
	s.MaxMsgs, s.MaxEach = 0, maxMsgs
	return s
}
