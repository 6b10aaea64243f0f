package manifest

import (
	"math"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// What a manifest may ask for at most. The reference in krt/README.md lists them.
const (
	MaxWorkflows     = 100
	MaxNodes         = 500    // of all workflows together; one that several workflows of a V1 manifest use counts in each
	MaxReplicas      = 1_000  // of one node
	MaxAllReplicas   = 5_000  // of all nodes together
	MaxSubscriptions = 100    // of one node
	MaxConfig        = 500    // declared values, variables and files together; also fixed variables of one node
	maxResources     = 50     // of one list
	maxText          = 10_000 // bytes of a description, and of every other text that has no limit of its own
	maxEnvText       = 32_768 // bytes of a fixed variable's value
	maxShort         = 255    // bytes of the name of an rpc, of a variable, of an image
	maxPath          = 1_024  // bytes of a path, as in an archive

	maxComplaints = 100 // that are told, and so many warnings; the others are counted
)

// totals complains about what is too much of all workflows together.
func (r *reader) totals(m *Manifest) {
	nodes, replicas := 0, 0
	for i := range m.Workflows {
		for j := range m.Workflows[i].Nodes {
			nodes++
			replicas += m.Workflows[i].Nodes[j].Replicas
		}
	}
	at := value{path: "workflows", line: lineOf(r.lines, "workflows")}
	if nodes > MaxNodes {
		r.report(at, ruleAllNodes, prose.Thousands(nodes), prose.Thousands(MaxNodes))
	}
	if replicas > MaxAllReplicas {
		r.report(at, ruleAllReplicas, prose.Thousands(replicas), prose.Thousands(MaxAllReplicas))
	}
}

// few complains when a list, or a mapping, has more than so many elements.
func (r *reader) few(v value, count, most int, what string) bool {
	if count <= most {
		return true
	}
	r.report(v, ruleTooLong, prose.Thousands(count), what, prose.Thousands(most))
	return false
}

// anyNumber is the limit of a number that has none of its own.
const anyNumber = math.MaxInt32
