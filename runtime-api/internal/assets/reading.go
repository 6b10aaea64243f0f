package assets

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/manifest"
)

// read returns the manifest, complete, and what is worth knowing about it.
func (r Request) read() (*manifest.Manifest, manifest.Problems, error) {
	if len(r.Content) == 0 {
		return nil, nil, invalid("manifest.content", "is empty: want the content of krt.yml")
	}
	name := r.FileName
	if name == "" {
		name = manifest.FileNames()[0]
	}
	m, problems := manifest.Parse(name, r.Content)
	if len(r.PackageFiles) > 0 {
		problems = append(problems, complete(m, paths(r.PackageFiles))...)
	} else if problems.Err() == nil {
		problems = append(problems, leftOpen(m)...)
	}
	complaints := problems.Complaints()
	if len(complaints) == 0 {
		return m, problems.Warnings(), nil
	}
	wrong := &fault.Error{Kind: fault.Invalid, Message: complaints.Error()}
	for _, problem := range complaints {
		wrong.Fields = append(wrong.Fields, fault.Field{Path: problem.Path, Message: describe(problem)})
	}
	return nil, nil, wrong
}

// complete finds in the package what the manifest leaves open, and complains about what it names and is not there. The
// proto is not compiled: its content is not here.
func complete(m *manifest.Manifest, files paths) manifest.Problems {
	if m == nil || !files.Exists(m.Proto) {
		return manifest.Check(m, files)
	}
	proto := m.Proto
	m.Proto = ""
	problems := manifest.Check(m, files)
	m.Proto = proto
	return problems
}

// leftOpen complains about what a manifest leaves to be found in a package that nobody has shown.
func leftOpen(m *manifest.Manifest) manifest.Problems {
	var problems manifest.Problems
	for i, workflow := range m.Workflows {
		for j, node := range workflow.Nodes {
			if node.Src == "" {
				problems = append(problems, manifest.Problem{
					Path:    fmt.Sprintf("workflows[%d].nodes[%d].src", i, j),
					Message: fmt.Sprintf("node %s names no src: name it, or send package_files to find it among", node.Name),
				})
			}
		}
	}
	return problems
}

func describe(p manifest.Problem) string {
	if p.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Message)
}

// paths is a package of which only the names of files are known.
type paths []string

// Exists implements manifest.Files.
func (p paths) Exists(path string) bool { return slices.Contains(p, path) }

// Names implements manifest.Files.
func (p paths) Names() []string { return p }

// Open implements fs.FS: there is nothing to open.
func (p paths) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
