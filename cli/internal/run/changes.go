package run

import (
	"path"
	"slices"
	"strings"
)

// layout is what a project looks like, as far as a saved file may matter to what runs.
type layout struct {
	manifest string // its file
	nodes    []nodeLayout
	values   []string // files that hold configuration values or are such, as they are told by the watcher
}

// nodeLayout is where the code of a node lies.
type nodeLayout struct {
	key    string
	src    string
	python bool
	source string // folder of the Go program that kre builds; "": none
}

// folder is what belongs to the node alone: the folder of its Python file or Go program.
func (n nodeLayout) folder() string {
	if n.source != "" {
		return n.source
	}
	if n.python {
		return path.Dir(n.src)
	}
	return n.src
}

// effect is what saved files change.
type effect struct {
	manifest     bool // the manifest is to be read again
	protos       bool // code is to be generated again; everybody may use it
	requirements bool // Python environments are to be looked at
	golang       bool // Go programs are to be built; those that come out the same stay
	values       bool // configuration values are to be gathered again
	restart      []string
	data         []string // those of the files that are neither code nor otherwise known
}

// decide tells what follows from saved files. A file in the folder of a node concerns that node, any other file every
// node that could read or import it; what only people or tests read concerns nobody.
func (l layout) decide(changed []string) effect {
	var e effect
	restart := func(want func(nodeLayout) bool) {
		for _, n := range l.nodes {
			if want(n) && !slices.Contains(e.restart, n.key) {
				e.restart = append(e.restart, n.key)
			}
		}
	}
	for _, file := range changed {
		base, ext := path.Base(file), path.Ext(file)
		owner := l.owners(file)
		switch {
		case slices.Contains(l.values, file):
			e.values = true
		case file == l.manifest:
			e.manifest = true
		case ext == ".proto":
			e.protos = true
		case strings.HasPrefix(base, "requirements") && (ext == ".txt" || ext == ".lock"):
			e.requirements = true
		case forPeople(file):
		case ext == ".py":
			restart(func(n nodeLayout) bool { return n.python && (len(owner) == 0 || slices.Contains(owner, n.key)) })
		case ext == ".go" || base == "go.mod" || base == "go.sum" || base == "go.work":
			e.golang = true
		default:
			restart(func(n nodeLayout) bool { return len(owner) == 0 || slices.Contains(owner, n.key) })
			e.data = append(e.data, file)
			// It may be compiled into a program (go:embed).
			e.golang = e.golang || slices.ContainsFunc(l.nodes, func(n nodeLayout) bool { return n.source != "" })
		}
	}
	return e
}

// owners are the nodes in whose folder a file lies.
func (l layout) owners(file string) []string {
	var keys []string
	for _, n := range l.nodes {
		if folder := n.folder(); folder == "." || file == folder || strings.HasPrefix(file, folder+"/") {
			keys = append(keys, n.key)
		}
	}
	return keys
}

// forPeople tells whether only people, tests or other tools read a file.
func forPeople(file string) bool {
	for folder := range strings.SplitSeq(path.Dir(file), "/") {
		if folder == "tests" || folder == "testdata" || folder == "docs" {
			return true
		}
	}
	base, ext := path.Base(file), path.Ext(file)
	switch ext {
	case ".md", ".log", ".ipynb":
		return true
	case ".py":
		return strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py") || base == "conftest.py"
	case ".go":
		return strings.HasSuffix(base, "_test.go")
	}
	switch base {
	case "LICENSE", "Makefile", "Dockerfile", "pyproject.toml", "setup.cfg", "tox.ini":
		return true
	}
	return false
}

// unwatched tells which files and folders are none of the author's work, or were not saved for good.
func unwatched(file string, dir bool) bool {
	base := path.Base(file)
	if dir {
		return strings.HasPrefix(base, ".") || base == "__pycache__" || base == "node_modules" || base == "venv"
	}
	switch path.Ext(base) {
	case ".pyc", ".swp", ".swx", ".tmp", ".krt", ".db", ".sqlite", ".sqlite3":
		return true
	}
	// Names that editors use for copies and locks, and vim to try whether it may write.
	return strings.HasSuffix(base, "~") || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "#") ||
		strings.Contains(base, "-journal") || base == "4913"
}
