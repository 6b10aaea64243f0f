package generate

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/konstellation-io/kre/host/pyenv"
	"github.com/konstellation-io/kre/krt/manifest"
)

// environment makes `.venv` of the project a link to an environment with everything that its first Python node imports,
// and pytest, and returns the name of that node.
func environment(ctx context.Context, root string, say func(string)) (node string, err error) {
	src := ""
	if node, src, err = firstPython(root); err != nil {
		return "", err
	}
	python, err := pyenv.Ensure(ctx, pyenv.Options{Root: root, Src: src, Dev: true, Say: say})
	if err != nil {
		return "", fmt.Errorf("cannot make the Python environment: %w", err)
	}
	return node, pyenv.Link(root, python)
}

// firstPython returns name and src of the first node that is written in Python.
func firstPython(root string) (name, src string, err error) {
	files := manifest.Project(os.DirFS(root))
	file, err := manifest.Find(files)
	if err != nil {
		return "", "", err
	}
	m, problems, err := manifest.Load(files, file)
	if err := errors.Join(err, problems.Err()); err != nil {
		return "", "", err
	}
	for _, workflow := range m.Workflows {
		for _, node := range workflow.Nodes {
			if node.Python() {
				return node.Name, node.Src, nil
			}
		}
	}
	return "", "", errors.New("no node is written in Python, so there is no environment to make")
}
