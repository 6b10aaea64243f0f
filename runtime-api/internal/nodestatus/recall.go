package nodestatus

import (
	"slices"
	"time"
)

// recall says of the nodes of a version what their processes have said of themselves.
func (s *Service) recall(version string, nodes []Node) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[version]
	if v == nil {
		return
	}
	r := recalled{said: v, present: make(map[place][]*heard), slot: s.slot(now)}
	for key, h := range v.processes {
		if s.speaks(h, now) {
			r.present[key.place] = append(r.present[key.place], h)
		}
	}
	for i := range nodes {
		node := &nodes[i]
		present := r.present[node.place()]
		node.Warnings = troubles(present)
		if node.Workflow == "" {
			r.entrypoint(node, nodes)
		} else {
			r.node(node, present)
		}
		node.Warnings = append(node.Warnings, slowRequests(present)...)
	}
}

// place is that of the node.
func (n *Node) place() place { return place{workflow: n.mapped, node: n.Name} }

// recalled is what the processes of a version have said of themselves, to be told at a time.
type recalled struct {
	*said
	present map[place][]*heard // what still holds
	slot    int64
}

// counted is what was counted at a place: all of it, and what of it in the last minute.
func (r recalled) counted(at place) (all, lately Load) {
	if t := r.tallies[at]; t != nil {
		return t.total(), t.lately(r.slot)
	}
	return Load{}, Load{}
}

// node tells the load of a node. Each of its replicas says how much waits for all of them.
func (r recalled) node(node *Node, present []*heard) {
	var spoke time.Time
	var lately Load
	node.Load, lately = r.counted(node.place())
	node.Refused, node.Unanswered = 0, 0
	for _, h := range present {
		if newer := h.at.Compare(spoke); newer > 0 || newer == 0 && h.load.Waiting > node.Waiting {
			node.Waiting, spoke = h.load.Waiting, h.at
		}
		node.Oldest = max(node.Oldest, h.load.Oldest)
	}
	if node.Waiting == 0 {
		node.Oldest = 0
	}
	node.Warnings = append(node.Warnings, pressure(node.Load, lately)...)
}

// entrypoint tells the load of each workflow, and of all. Each instance says how many calls wait at itself.
func (r recalled) entrypoint(node *Node, nodes []Node) {
	for i, first := range nodes {
		same := func(other Node) bool { return other.Workflow == first.Workflow }
		if first.Workflow == "" || slices.ContainsFunc(nodes[:i], same) {
			continue
		}
		at := place{workflow: first.mapped, node: node.Name, part: true}
		load, lately := r.counted(at)
		for _, h := range r.present[at] {
			load.Waiting += h.load.Waiting
			load.Oldest = max(load.Oldest, h.load.Oldest)
		}
		load.Expired = 0 // that is of the nodes
		node.Load.join(load)
		for _, other := range nodes {
			if same(other) {
				all, _ := r.counted(other.place())
				load.Expired += all.Expired
			}
		}
		if load != (Load{}) {
			node.Workflows = append(node.Workflows, WorkflowLoad{Workflow: first.Workflow, Load: load})
		}
		node.Warnings = append(node.Warnings, refusals(first.Workflow, load, lately)...)
	}
}
