package manifest

import "strings"

// roster is the names of a workflow's nodes.
type roster struct {
	known    map[string]bool
	inOrder  []string
	badIDs   map[string]bool // what names that were complained about would be mapped to
	nameless bool            // a node's name could not be read at all
}

func newRoster() *roster { return &roster{known: map[string]bool{}, badIDs: map[string]bool{}} }

func (n *roster) add(name, id string) {
	if name == "" {
		n.nameless = true
		return
	}
	n.known[name] = true
	n.inOrder = append(n.inOrder, name)
	if id == "" {
		n.badIDs[ID(name)] = true
	}
}

// workflowKeys are what a workflow of either format may hold besides its nodes.
func workflowKeys(more ...string) []string {
	return append([]string{"name", "entrypoint", "delivery", "timeout", "maxAttempts", "expired"}, more...)
}

// chainKeys all name the nodes of a workflow of the first format, which was published with each spelling.
func chainKeys() []string { return []string{"waterfall", "sequential", "sequencial"} }

// workflowItems are the workflows, or a complaint that there are none.
func (r *reader) workflowItems(o object) []value {
	v, ok := o.need("workflows", "a list of workflows")
	if !ok {
		return nil
	}
	items, ok := r.list(v)
	if ok && len(items) == 0 {
		r.report(v, ruleNoWorkflow)
	}
	if !r.few(v, len(items), MaxWorkflows, "workflows") {
		return nil
	}
	return items
}

// workflow reads what both formats have in common.
func (r *reader) workflow(o object, workflows *names) Workflow {
	w := Workflow{Timeout: DefaultTimeout, MaxAttempts: DefaultMaxAttempts, Expired: DefaultExpired, Nodes: []Node{}, path: o.path}
	if v, ok := o.need("name", "the workflow's name"); ok {
		if w.Name, w.ID = r.name(v, r.limit()); w.Name != "" {
			workflows.add(r, v, w.Name, w.ID)
		}
	}
	if v, ok := o.get("delivery"); ok {
		if r.oneOf(v, "at-least-once", "at-most-once") == "at-most-once" {
			r.report(v, ruleNotYet, "write at-least-once, or leave it out")
		}
	}
	if v, ok := o.get("timeout"); ok {
		if timeout, ok := r.duration(v); ok {
			w.Timeout = timeout
		}
	}
	if v, ok := o.get("maxAttempts"); ok {
		if attempts, ok := r.positive(v, anyNumber); ok {
			w.MaxAttempts, w.AttemptsSet = attempts, true
		}
	}
	if v, ok := o.get("expired"); ok {
		if expired := r.oneOf(v, ExpiredDrop, ExpiredFinish); expired != "" {
			w.Expired = expired
		}
	}
	return w
}

// rpc reads the name of the rpc that the workflow answers; each has one of its own.
func (r *reader) rpc(v value, rpcs *names) string {
	rpc, ok := r.short(v, maxShort)
	if !ok {
		return ""
	}
	if !rpcForm.MatchString(rpc) {
		r.report(v, ruleRPCName, shorten(rpc))
		return ""
	}
	if !rpcs.add(r, v, rpc, "") {
		return ""
	}
	return rpc
}

func (r *reader) workflowsV2(m *Manifest, o object, declared map[string]int) {
	workflows, rpcs := newNames(), newNames()
	for _, item := range r.workflowItems(o) {
		o, ok := r.object(item, workflowKeys("exitpoint", "nodes"), chainKeys()...)
		if !ok {
			continue
		}
		w := r.workflow(o, workflows)
		if v, ok := o.need("entrypoint", "the rpc of the public .proto that this workflow answers"); ok {
			w.RPC = r.rpc(v, rpcs)
		}
		exit, hasExit := o.need("exitpoint", "the node whose output answers the caller")
		if hasExit {
			w.Exitpoint, hasExit = r.text(exit)
		}
		if nodes, ok := r.nodesV2(&w, o, declared); ok {
			r.graph(&w)
			if hasExit && !nodes.known[w.Exitpoint] {
				r.unknownNode(nodes, exit, ruleUnknownExit, w.Exitpoint)
			}
		}
		m.Workflows = append(m.Workflows, w)
	}
}

// nodesV2 reads the nodes; the result is false when there are none.
func (r *reader) nodesV2(w *Workflow, o object, declared map[string]int) (*roster, bool) {
	v, ok := o.need("nodes", "a list of nodes")
	if !ok {
		return nil, false
	}
	items, ok := r.list(v)
	if !ok {
		return nil, false
	}
	if len(items) == 0 {
		r.report(v, ruleNoNode)
		return nil, false
	}
	if !r.few(v, len(items), MaxNodes, "nodes") {
		return nil, false
	}
	nodes, seen := newRoster(), newNames()
	var objects []object
	for _, item := range items {
		o, ok := r.object(item, nodeKeys("subscriptions"))
		if !ok {
			nodes.nameless = true
			continue
		}
		n := r.node(o, declared)
		nodes.add(n.Name, n.ID)
		if n.Name != "" {
			seen.add(r, o.fields["name"], n.Name, n.ID)
		}
		if v, ok := o.need("src", "the path of the node's program in the package, e.g. src/etl/main.py"); ok {
			n.Src = r.path(v)
		}
		w.Nodes = append(w.Nodes, n)
		objects = append(objects, o)
	}
	for i, o := range objects {
		r.subscriptions(nodes, &w.Nodes[i], o)
	}
	return nodes, true
}

// subscriptions come after all nodes were read, as they may name any of them.
func (r *reader) subscriptions(nodes *roster, n *Node, o object) {
	before := r.reported
	v, ok := o.need("subscriptions", `what the node receives, e.g. ["`+Entrypoint+`"]`)
	if !ok {
		n.damaged = true
		return
	}
	words := r.words(v)
	if !r.few(v, len(words), MaxSubscriptions, "subscriptions") {
		n.damaged = true
		return
	}
	if len(words) == 0 && r.reported == before {
		r.report(v, ruleNoSubscription, Entrypoint)
	}
	for _, each := range words {
		if s, ok := r.subscription(nodes, n, each); ok {
			n.Subscriptions = append(n.Subscriptions, s)
		}
	}
	n.damaged = r.reported > before || len(n.Subscriptions) < len(words)
}

// subscription returns false when it cannot be followed.
func (r *reader) subscription(nodes *roster, n *Node, written word) (Subscription, bool) {
	from, channel, dotted := strings.Cut(written.text, ".")
	s := Subscription{Node: from, Channel: channel}
	switch {
	case from == Entrypoint && dotted:
		r.report(written.value, ruleEntryChannel, Entrypoint)
		return s, false
	case from == Entrypoint:
		return s, true
	case dotted && (!nameForm.MatchString(channel) || len(channel) > maxName):
		r.report(written.value, ruleChannel, shorten(channel), maxName)
		return s, false
	case from == n.Name && from != "":
		r.report(written.value, ruleSelf, shorten(from))
		return s, false
	case !nodes.known[from]:
		r.unknownNode(nodes, written.value, ruleUnknownNode, from, Entrypoint)
		return s, false
	}
	return s, true
}

// unknownNode complains, unless the name may be that of a node whose own name was complained about.
func (r *reader) unknownNode(nodes *roster, at value, what rule, name string, more ...string) {
	if nodes.nameless || nodes.badIDs[ID(name)] {
		return
	}
	hint := ""
	if r.hints.left > 0 {
		hint = r.hints.name(name, append(more, nodes.inOrder...))
	}
	r.report(at, what, shorten(name), hint)
}
