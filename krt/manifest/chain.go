package manifest

import "slices"

// bench is the nodes of the first format, which stand beside the workflows.
type bench struct {
	*roster
	byName map[string]*spare
}

// spare is a node of the first format, which any workflow may use, once or more.
type spare struct {
	Node
	at   value
	used bool
}

func (r *reader) workflowsV1(m *Manifest, o object, declared map[string]int) {
	nodes := r.nodesV1(o, declared)
	complete := !nodes.nameless
	workflows, rpcs := newNames(), newNames()
	for _, item := range r.workflowItems(o) {
		o, ok := r.object(item, workflowKeys(chainKeys()...), "exitpoint", "nodes")
		if !ok {
			complete = false
			continue
		}
		w := r.workflow(o, workflows)
		if v, ok := o.get("entrypoint"); ok {
			w.RPC = r.rpc(v, rpcs)
		} else if w.ID != "" {
			w.RPC = r.rpcOfName(o.fields["name"], w.Name, rpcs)
		}
		complete = r.chain(&w, o, nodes) && complete
		m.Workflows = append(m.Workflows, w)
	}
	for _, name := range nodes.inOrder {
		if n := nodes.byName[name]; complete && !n.used && n.ID != "" {
			r.warn(n.at, warnUnusedNode, name)
		}
	}
}

// rpcOfName makes the name of the rpc from that of the workflow.
func (r *reader) rpcOfName(at value, name string, rpcs *names) string {
	rpc := rpcOf(name)
	if !rpcForm.MatchString(rpc) {
		r.report(at, ruleNoRPCName, name)
		return ""
	}
	if !rpcs.add(r, at, rpc, "") {
		return ""
	}
	return rpc
}

// nodesV1 reads the nodes, which stand beside the workflows.
func (r *reader) nodesV1(o object, declared map[string]int) bench {
	nodes := bench{newRoster(), map[string]*spare{}}
	v, ok := o.need("nodes", "a list of nodes")
	if !ok {
		nodes.nameless = true
		return nodes
	}
	items, ok := r.list(v)
	if !ok || len(items) == 0 || !r.few(v, len(items), MaxNodes, "nodes") {
		if ok && len(items) == 0 {
			r.report(v, ruleNoNode)
		}
		nodes.nameless = true
		return nodes
	}
	seen := newNames()
	for _, item := range items {
		o, ok := r.object(item, nodeKeys(), "subscriptions")
		if !ok {
			nodes.nameless = true
			continue
		}
		n := r.node(o, declared)
		if v, ok := o.get("src"); ok {
			n.Src = r.path(v)
		}
		at := o.fields["name"]
		if n.Name == "" || seen.add(r, at, n.Name, n.ID) {
			nodes.add(n.Name, n.ID)
		}
		if n.Name != "" && nodes.byName[n.Name] == nil {
			nodes.byName[n.Name] = &spare{Node: n, at: at}
		}
	}
	return nodes
}

// chain joins nodes to a workflow: each subscribes to the one before it, the first to the entrypoint, and the last is
// the exitpoint. The result is false when it could not be read whole.
func (r *reader) chain(w *Workflow, o object, nodes bench) bool {
	v, ok := r.chainList(o)
	if !ok {
		return false
	}
	before := r.reported
	words := r.words(v)
	if !r.few(v, len(words), MaxNodes, "nodes") {
		return false
	}
	whole := r.reported == before
	if len(words) == 0 {
		if whole {
			r.report(v, ruleNoNode)
		}
		return false
	}
	previous := Entrypoint
	for _, each := range words {
		found := nodes.byName[each.text]
		if found == nil {
			r.unknownNode(nodes.roster, each.value, ruleUnknownNode, each.text)
			whole = false
			continue
		}
		found.used = true
		n := found.Node
		n.Subscriptions = []Subscription{{Node: previous}}
		w.Nodes = append(w.Nodes, n)
		previous = n.Name
	}
	w.Exitpoint = previous
	return whole
}

// chainList is the value of the one key among chainKeys that is there.
func (r *reader) chainList(o object) (value, bool) {
	var found value
	given := ""
	for _, key := range o.order {
		if v, ok := o.get(key); ok && slices.Contains(chainKeys(), key) {
			if given != "" {
				r.report(v, ruleTwoChains, given, key)
				return found, false
			}
			found, given = v, key
		}
	}
	if given == "" {
		_, ok := o.need("waterfall", "the workflow's nodes in their order")
		return found, ok
	}
	return found, true
}
