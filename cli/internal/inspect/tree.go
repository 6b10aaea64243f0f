package inspect

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/krt/manifest"
)

// row is a line of a tree: the branch with the node, and what there is to say of it. The paint is kept apart from the
// text, as it has no width.
type row struct {
	branch  string // the lines that lead to the node
	name    string
	label   string // the channels that lead here, unless it is the default one alone
	columns []string
	again   bool // the node was shown before
}

func (r row) width() int {
	return utf8.RuneCountInString(r.branch) + utf8.RuneCountInString(r.name) + utf8.RuneCountInString(r.label)
}

// workflow writes the graph as a tree from the entrypoint on. A node with several upstreams is shown with all that
// follows it where it comes first, and by its name alone from then on.
func (p printer) workflow(w manifest.Workflow) {
	title := p.Paint(look.Bold, w.Name)
	facts := fmt.Sprintf("rpc %s, timeout %s, %s", w.RPC, w.Timeout, look.Count(w.MaxAttempts, "attempt"))
	if w.Expired == manifest.ExpiredFinish {
		facts += ", what has expired is finished"
	}
	p.Line("")
	p.Line("%s  %s", title, p.Paint(look.Dim, facts))
	rows := []row{{name: manifest.Entrypoint}}
	rows = append(rows, newTree(w).below(manifest.Entrypoint, "")...)
	widest, columns := 0, []int{0, 0}
	for _, r := range rows {
		widest = max(widest, r.width())
		for i, text := range r.columns[:min(len(columns), len(r.columns))] {
			if r.again {
				continue // what is said of it need not fit in a column
			}
			columns[i] = max(columns[i], utf8.RuneCountInString(text))
		}
	}
	for _, r := range rows {
		p.row(r, widest, columns)
	}
}

func (p printer) row(r row, widest int, columns []int) {
	var line strings.Builder
	line.WriteString(p.Paint(look.Dim, r.branch))
	switch {
	case r.again, r.branch == "":
		line.WriteString(p.Paint(look.Dim, r.name))
	default:
		line.WriteString(p.Paint(look.Cyan, r.name))
	}
	line.WriteString(p.Paint(look.Yellow, r.label))
	if len(r.columns) > 0 {
		line.WriteString(strings.Repeat(" ", widest-r.width()))
	}
	for i, text := range r.columns {
		line.WriteString("  " + text)
		if i < len(columns) && !r.again {
			line.WriteString(strings.Repeat(" ", columns[i]-utf8.RuneCountInString(text)))
		}
	}
	p.Line("%s", strings.TrimRight(line.String(), " "))
}

type tree struct {
	manifest.Workflow
	shown map[string]bool
}

func newTree(w manifest.Workflow) *tree { return &tree{Workflow: w, shown: map[string]bool{}} }

// below are the rows of the nodes that subscribe to the one called from.
func (t *tree) below(from, indent string) []row {
	var nodes []manifest.Node
	for _, n := range t.Nodes {
		if len(channels(n, from)) > 0 {
			nodes = append(nodes, n)
		}
	}
	var rows []row
	for i, n := range nodes {
		turn, next := "├─ ", "│  "
		if i == len(nodes)-1 {
			turn, next = "└─ ", "   "
		}
		r := row{branch: indent + turn, name: n.Name, label: label(channels(n, from)), again: t.shown[n.Name]}
		if r.again {
			r.columns = []string{"see above"}
			rows = append(rows, r)
			continue
		}
		t.shown[n.Name] = true
		r.columns = t.facts(n)
		rows = append(rows, r)
		rows = append(rows, t.below(n.Name, indent+next)...)
	}
	return rows
}

// facts are what there is to say of a node: how often it runs, its program, and what is not the rule.
func (t *tree) facts(n manifest.Node) []string {
	facts := []string{fmt.Sprintf("×%d", n.Replicas), terminal.Clean(n.Src)}
	if n.Name == t.Exitpoint {
		facts = append(facts, "answers the caller")
	}
	if n.GPU {
		facts = append(facts, "gpu")
	}
	if n.Worker() {
		facts = append(facts, "worker")
	}
	return facts
}

// channels of from to which n subscribes.
func channels(n manifest.Node, from string) []string {
	var found []string
	for _, s := range n.Subscriptions {
		if s.Node == from {
			found = append(found, s.Channel)
		}
	}
	return found
}

func label(channels []string) string {
	if len(channels) == 1 && channels[0] == "" {
		return ""
	}
	var named []string
	for _, channel := range channels {
		if channel == "" {
			channel = "default"
		}
		named = append(named, channel)
	}
	return " [" + strings.Join(named, ", ") + "]"
}
