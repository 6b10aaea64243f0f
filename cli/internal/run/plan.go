package run

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/konstellation-io/kre/cli/internal/gobuild"
	"github.com/konstellation-io/kre/krt/manifest"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// plan is what is to run: the manifest as it was read last, with what belongs to it.
type plan struct {
	file     string // the manifest's name
	content  []byte
	manifest *manifest.Manifest
	warnings manifest.Problems
	values   values
	nodes    []node
	prepared *runtimev1.PrepareVersionResponse
}

// node is one of the plan.
type node struct {
	manifest.Node
	workflow manifest.Workflow
	key      string // its name for people; the workflow's is before it where another workflow has one of that name
	source   string // folder of the Go program that it is built from; "": none
}

// attempts is how often a message is tried; asked is what a person asked for, 0 being nothing.
func (n node) attempts(asked int) int {
	switch {
	case asked > 0:
		return asked
	case n.workflow.AttemptsSet:
		return n.workflow.MaxAttempts
	}
	return defaultAttempts
}

// defaultAttempts is how often a message is tried where nobody says anything: an author wants to see an error at once.
const defaultAttempts = 1

// processes are the names of its processes; asked is how many a person asked for, 0 being nothing.
func (n node) processes(asked int) []string {
	count := cmp.Or(asked, n.Replicas, 1)
	if count == 1 {
		return []string{n.key}
	}
	names := make([]string, count)
	for i := range names {
		names[i] = n.key + "." + strconv.Itoa(i+1)
	}
	return names
}

// plan reads and checks the manifest and gathers the values it declares. The error is manifest.Problems when the
// manifest is wrong.
func (s source) plan(given given) (plan, error) {
	fsys := os.DirFS(s.root)
	file, err := manifest.Find(fsys)
	if err != nil {
		return plan{}, err
	}
	files := manifest.Project(fsys)
	if s.packed {
		files = manifest.Package(fsys)
	}
	m, problems, err := manifest.Load(files, file)
	if err != nil {
		return plan{}, err
	}
	if err := problems.Err(); err != nil {
		return plan{}, err
	}
	p := plan{file: file, manifest: m, warnings: problems.Warnings()}
	if p.content, err = fs.ReadFile(fsys, file); err != nil {
		return plan{}, err
	}
	if p.values, err = given.gather(m.Config); err != nil {
		return plan{}, err
	}
	seen := make(map[string]int)
	for _, w := range m.Workflows {
		for _, n := range w.Nodes {
			seen[n.Name]++
		}
	}
	for _, w := range m.Workflows {
		for _, n := range w.Nodes {
			one := node{Node: n, workflow: w, key: n.Name}
			if seen[n.Name] > 1 {
				one.key = w.Name + "/" + n.Name
			}
			if !s.packed && !n.Python() {
				if one.source, err = gobuild.Source(s.root, n.Src); err != nil {
					return plan{}, err
				}
			}
			p.nodes = append(p.nodes, one)
		}
	}
	return p, nil
}

// layout is the plan as far as a saved file may matter.
func (p plan) layout(values []string) layout {
	l := layout{manifest: p.file, values: values}
	for _, n := range p.nodes {
		l.nodes = append(l.nodes, nodeLayout{key: n.key, src: n.Src, python: n.Python(), source: n.source})
	}
	return l
}

// packageFiles are the files that the manifest asks for, be they there already or still to be built.
func (p plan) packageFiles() []string {
	var files []string
	for _, n := range p.nodes {
		files = append(files, n.Src)
	}
	if p.manifest.Proto != "" {
		files = append(files, p.manifest.Proto)
	}
	return files
}

// preparedNode is what runtime-api answered for a node.
func (p plan) preparedNode(n node) *runtimev1.Node {
	i := slices.IndexFunc(p.prepared.GetNodes(), func(one *runtimev1.Node) bool {
		return one.GetWorkflow() == n.workflow.Name && one.GetName() == n.Name
	})
	if i < 0 {
		return nil
	}
	return p.prepared.GetNodes()[i]
}
