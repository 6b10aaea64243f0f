package manifest

import (
	"maps"
	"math/big"
	"slices"
)

// nodeKeys are what a node of either format may hold besides its subscriptions.
func nodeKeys(more ...string) []string {
	return append([]string{
		"name", "image", "src", "replicas", "gpu", "objectStore",
		"concurrency", "batch", "startTimeout", "resources", "env", "config", "dependencies", "protocol",
		"autoscaling", "model", "join",
	}, more...)
}

// node reads what both formats have in common, all but src and subscriptions.
func (r *reader) node(o object, declared map[string]int) Node {
	n := Node{Replicas: DefaultReplicas, Subscriptions: []Subscription{}, path: o.path}
	if v, ok := o.need("name", "the node's name"); ok {
		n.Name, n.ID = r.name(v, r.limit())
		if n.ID == Entrypoint {
			r.report(v, ruleEntrypoint, n.Name)
		}
	}
	if _, ok := o.need("image", "the container image that runs the node, e.g. konstellation/kre-py:latest"); ok {
		n.Image = r.image(o)
	}
	_, n.srcGiven = o.get("src")
	if v, ok := o.get("replicas"); ok {
		if replicas, ok := r.positive(v, MaxReplicas); ok {
			n.Replicas = replicas
		}
	}
	if v, ok := o.get("gpu"); ok {
		n.GPU = r.boolean(v)
	}
	if v, ok := o.get("startTimeout"); ok {
		n.StartTimeout, _ = r.duration(v)
	}
	if v, ok := o.get("resources"); ok {
		n.Resources = r.resources(v)
	}
	if v, ok := o.get("dependencies"); ok {
		n.Dependencies = r.oneOf(v, "image")
	}
	if v, ok := o.get("protocol"); ok {
		n.Protocol = r.oneOf(v, workerProtocol)
	}
	r.nodeConfig(&n, o, declared)
	r.nodeEnv(&n, o, declared)
	r.notYet(o)
	return n
}

// notYet refuses what a manifest may say one day, after checking its form where that is known.
func (r *reader) notYet(o object) {
	for _, key := range []string{"autoscaling", "model", "join"} {
		if v, ok := o.get(key); ok {
			r.report(v, ruleReserved)
		}
	}
	if v, ok := o.get("concurrency"); ok {
		if n, ok := r.positive(v, anyNumber); ok && n > 1 {
			r.report(v, ruleNotYet, "a replica handles one message at a time; write 1, or leave it out")
		}
	}
	if v, ok := o.get("batch"); ok {
		if b, ok := r.object(v, []string{"size", "wait"}); ok {
			if v, ok := b.get("size"); ok {
				r.positive(v, anyNumber)
			}
			if v, ok := b.get("wait"); ok {
				r.duration(v)
			}
		}
		r.report(v, ruleNotYet, "a handler is given one message at a time; leave it out")
	}
	if v, ok := o.get("objectStore"); ok {
		if s, ok := r.object(v, []string{"name", "scope"}); ok {
			if v, ok := s.need("name", "the object store's name"); ok {
				r.name(v, r.limit())
			}
			if v, ok := s.get("scope"); ok {
				r.oneOf(v, "workflow", "project")
			}
		}
		r.report(v, ruleNotYet, "no object store can be given to a node; leave it out")
	}
}

// nodeConfig reads which of the declared values the node gets.
func (r *reader) nodeConfig(n *Node, o object, declared map[string]int) {
	v, ok := o.get("config")
	if !ok {
		return
	}
	all := slices.Sorted(maps.Keys(declared))
	n.Config = []string{}
	for _, w := range r.words(v) {
		if _, ok := declared[w.text]; !ok {
			r.report(w.value, ruleUnknownConfig, shorten(w.text), r.hints.name(w.text, all))
			continue
		}
		n.Config = append(n.Config, w.text)
	}
}

// nodeEnv reads the node's fixed variables.
func (r *reader) nodeEnv(n *Node, o object, declared map[string]int) {
	v, ok := o.get("env")
	if !ok {
		return
	}
	keys, fields, ok := r.entries(v)
	if !ok || !r.few(v, len(keys), MaxConfig, "variables") {
		return
	}
	n.Env = map[string]string{}
	for _, key := range keys {
		if !r.env(fields[key], key) {
			continue
		}
		if line, taken := declared[key]; taken && (n.Config == nil || slices.Contains(n.Config, key)) {
			r.report(fields[key], ruleEnvTaken, key, line)
			continue
		}
		if text, ok := r.short(fields[key], maxEnvText); ok {
			n.Env[key] = text
		}
	}
}

func (r *reader) resources(v value) Resources {
	o, ok := r.object(v, []string{"requests", "limits"})
	if !ok {
		return Resources{}
	}
	limits := r.quantities(o, "limits")
	requests := r.quantities(o, "requests")
	for _, name := range requests.order {
		limit, limited := limits.byName[name]
		request := requests.byName[name]
		if limited && request.amount.Cmp(limit.amount) > 0 {
			r.report(request.value, ruleRequestLimit, request.text, limit.text, limit.line)
		}
	}
	return Resources{Requests: requests.texts(), Limits: limits.texts()}
}

type quantity struct {
	word
	amount *big.Rat
}

type quantities struct {
	order  []string
	byName map[string]quantity
}

func (q quantities) texts() map[string]string {
	if len(q.order) == 0 {
		return nil
	}
	texts := map[string]string{}
	for name, each := range q.byName {
		texts[name] = each.text
	}
	return texts
}

func (r *reader) quantities(o object, key string) quantities {
	found := quantities{byName: map[string]quantity{}}
	v, ok := o.get(key)
	if !ok {
		return found
	}
	keys, fields, _ := r.entries(v)
	if !r.few(v, len(keys), maxResources, "resources") {
		return found
	}
	for _, name := range keys {
		field := fields[name]
		if !resourceForm.MatchString(name) {
			r.report(field, ruleResource, shorten(name))
			continue
		}
		text, ok := r.text(field)
		if !ok {
			continue
		}
		amount, ok := parseQuantity(text)
		if !ok {
			r.report(field, ruleQuantity, shorten(text))
			continue
		}
		found.order = append(found.order, name)
		found.byName[name] = quantity{word{field, text}, amount}
	}
	return found
}
