package manifest

import (
	"slices"
	"strings"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// graph is the nodes of a workflow by index, from each to those that it subscribes to.
type graph struct {
	w        *Workflow
	index    map[string]int
	upstream [][]int
}

func newGraph(w *Workflow) graph {
	g := graph{w: w, index: map[string]int{}, upstream: make([][]int, len(w.Nodes))}
	for i, n := range w.Nodes {
		if _, twice := g.index[n.Name]; !twice {
			g.index[n.Name] = i
		}
	}
	for i, n := range w.Nodes {
		seen := map[int]bool{}
		for _, s := range n.Subscriptions {
			if from, ok := g.index[s.Node]; ok && s.Node != Entrypoint && !seen[from] {
				seen[from] = true
				g.upstream[i] = append(g.upstream[i], from)
			}
		}
	}
	return g
}

// reached are the nodes that a message from the entrypoint can reach. A node whose subscriptions were complained about
// counts as reached, so that nothing is said about it or those behind it.
func (g graph) reached() []bool {
	reached := make([]bool, len(g.w.Nodes))
	downstream := make([][]int, len(g.w.Nodes))
	var todo []int
	for i, n := range g.w.Nodes {
		for _, from := range g.upstream[i] {
			downstream[from] = append(downstream[from], i)
		}
		if n.damaged || slices.Contains(n.Subscriptions, Subscription{Node: Entrypoint}) {
			reached[i] = true
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		for _, next := range downstream[todo[0]] {
			if !reached[next] {
				reached[next] = true
				todo = append(todo, next)
			}
		}
		todo = todo[1:]
	}
	return reached
}

// maxCycles bounds how many cycles of one workflow are told.
const maxCycles = 10

// maxWay is how many names of a cycle are told, half of them from either end.
const maxWay = 20

// cycles are ways that lead from a node back to it, in the direction of the messages: at least one of every knot.
func (g graph) cycles() [][]int {
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(g.w.Nodes))
	var found [][]int
	for start := range g.w.Nodes {
		// A walk against the messages, with its own stack: a manifest may be a chain of thousands.
		type step struct{ node, next int }
		var way []step
		if state[start] == fresh {
			way = append(way, step{node: start})
			state[start] = open
		}
		for len(way) > 0 && len(found) < maxCycles {
			top := &way[len(way)-1]
			if top.next == len(g.upstream[top.node]) {
				state[top.node] = done
				way = way[:len(way)-1]
				continue
			}
			from := g.upstream[top.node][top.next]
			top.next++
			switch state[from] {
			case fresh:
				state[from] = open
				way = append(way, step{node: from})
			case open:
				first := slices.IndexFunc(way, func(s step) bool { return s.node == from })
				var cycle []int
				for _, s := range way[first:] {
					cycle = append(cycle, s.node)
				}
				slices.Reverse(cycle)
				found = append(found, rotated(cycle))
			}
		}
	}
	return found
}

// rotated begins the cycle with the node that is written first.
func rotated(cycle []int) []int {
	first := slices.Index(cycle, slices.Min(cycle))
	return append(slices.Clone(cycle[first:]), cycle[:first]...)
}

// graph complains about cycles. A node whose subscriptions are all in order and that no message can reach lies in a
// cycle or behind one, as every way against the messages ends at the entrypoint or never; so does an exitpoint. It
// follows from the cycle and is told with it.
func (r *reader) graph(w *Workflow) {
	g := newGraph(w)
	reached := g.reached()
	exit, ok := g.index[w.Exitpoint]
	exitTold := !ok || reached[exit]
	for _, cycle := range g.cycles() {
		names := make([]string, 0, len(cycle)+1)
		for _, i := range append(cycle, cycle[0]) {
			names = append(names, w.Nodes[i].Name)
		}
		if left := len(names) - maxWay; left > 0 {
			names = slices.Replace(names, maxWay/2, maxWay/2+left, "… "+prose.Thousands(left)+" more …")
		}
		way := strings.Join(names, " → ")
		path := w.Nodes[cycle[0]].path + ".subscriptions"
		at := value{path: path, line: lineOf(r.lines, path)}
		switch {
		case reached[cycle[0]]:
			r.report(at, ruleCycle, way)
		case exitTold:
			r.report(at, ruleUnreachable, way)
		default:
			r.report(at, ruleExitUnreachable, way, w.Exitpoint)
			exitTold = true
		}
	}
}
