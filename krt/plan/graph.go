package plan

import (
	"slices"

	"github.com/konstellation-io/kre/krt/manifest"
)

// graph is a workflow and the names of what it needs.
type graph struct {
	names
	manifest.Workflow
}

func (g graph) node(name string) manifest.Node {
	return g.Nodes[slices.IndexFunc(g.Nodes, func(n manifest.Node) bool { return n.Name == name })]
}

// subscribed are the channels of a node that others, or only those that keep says, subscribe to; in order.
func (g graph) subscribed(node string, keep func(manifest.Node) bool) []string {
	var channels []string
	for _, n := range g.Nodes {
		for _, s := range n.Subscriptions {
			if s.Node == node && keep(n) && !slices.Contains(channels, s.Channel) {
				channels = append(channels, s.Channel)
			}
		}
	}
	return channels
}

func anyone(manifest.Node) bool { return true }

func (g graph) isExitpoint(n manifest.Node) bool { return n.Name == g.Exitpoint }

func (g graph) hasSubscribers(n manifest.Node) bool { return len(g.subscribed(n.Name, anyone)) > 0 }

// output is nil when nobody subscribes to the node.
func (g graph) output(n manifest.Node) *Output {
	if !g.hasSubscribers(n) {
		return nil
	}
	out := &Output{Stream: g.nodeStream(n.ID), Error: g.failure(n.ID), Channels: map[string]string{}}
	for _, channel := range g.subscribed(n.Name, anyone) {
		out.Channels[channel] = g.channel(n.ID, channel)
	}
	for _, channel := range g.subscribed(n.Name, g.isExitpoint) {
		if out.Early == nil {
			out.Early = map[string]string{}
		}
		out.Early[channel] = g.early(n.ID, channel)
	}
	return out
}

// consumers of a node: one on the entry stream, for what is sent to it again if for nothing else, and one on the stream
// of each node that it subscribes to, which also gets that node's errors. All bear the node's name; a stream has at most
// one of each node.
func (g graph) consumers(n manifest.Node) []Consumer {
	all := []Consumer{consumer(g.entryStream(), n.ID)}
	index := map[string]int{} // of a node's consumer, by the other node's name
	for _, s := range n.Subscriptions {
		if s.Node == manifest.Entrypoint {
			all[0].Filters = append(all[0].Filters, g.entry())
			continue
		}
		from := g.node(s.Node)
		i, seen := index[from.Name]
		if !seen {
			i = len(all)
			index[from.Name] = i
			all = append(all, consumer(g.nodeStream(from.ID), n.ID))
		}
		all[i].Filters = append(all[i].Filters, g.channel(from.ID, s.Channel))
		if g.isExitpoint(n) {
			all[i].Filters = append(all[i].Filters, g.early(from.ID, s.Channel))
		}
	}
	all[0].Filters = append(all[0].Filters, g.to(n.ID))
	for name, i := range index {
		all[i].Filters = append(all[i].Filters, g.failure(g.node(name).ID))
	}
	return all
}

// parcels is nil when nobody subscribes to the node.
func (g graph) parcels(n manifest.Node) *Parcels {
	if !g.hasSubscribers(n) {
		return nil
	}
	at := g.parcel(n.ID)
	return &Parcels{
		Source: Source{Stream: g.nodeStream(n.ID), Consumer: parcelConsumer}, Subject: at, Part: at + ".part", Last: at + ".last",
	}
}

func (p *Parcels) consumer() Consumer {
	c := consumer(p.Stream, p.Consumer)
	c.Filters = []string{p.Subject, p.Part, p.Last}
	return c
}

func consumer(stream, name string) Consumer {
	return Consumer{Stream: stream, Name: name, AckWait: ackWait, MaxAckPending: maxAckPending}
}

// onPath are the nodes from which the exitpoint can be reached, itself included.
func (g graph) onPath() map[string]bool {
	found := map[string]bool{g.Exitpoint: true}
	for todo := []string{g.Exitpoint}; len(todo) > 0; todo = todo[1:] {
		for _, s := range g.node(todo[0]).Subscriptions {
			if s.Node != manifest.Entrypoint && !found[s.Node] {
				found[s.Node] = true
				todo = append(todo, s.Node)
			}
		}
	}
	return found
}

// path tells of those nodes what each of them subscribes to.
func (g graph) path(onPath map[string]bool) []Step {
	var steps []Step
	for _, n := range g.Nodes {
		if !onPath[n.Name] {
			continue
		}
		step := Step{Node: n.Name, Exitpoint: g.isExitpoint(n)}
		for _, s := range n.Subscriptions {
			step.From = append(step.From, Subscription{Node: s.Node, Channel: s.Channel})
		}
		steps = append(steps, step)
	}
	return steps
}
