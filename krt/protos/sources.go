package protos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// sources are the parsed files of a package. They are read before the compiler starts, because that stops at the first
// import it cannot find and does not tell where it stands.
type sources struct {
	ctx      context.Context //nolint:containedctx // lives no longer than the call it was handed to
	fsys     fs.FS
	bounds   *bounds
	files    map[string]*ast.FileNode // nil: it was reported
	standard protocompile.Resolver
	problems *collector
}

func newSources(ctx context.Context, fsys fs.FS) *sources {
	return &sources{
		ctx:      ctx,
		fsys:     fsys,
		bounds:   newBounds(),
		files:    map[string]*ast.FileNode{},
		standard: protocompile.WithStandardImports(nowhere{}),
		problems: &collector{},
	}
}

// nowhere finds nothing, so that with the standard imports around it only those are found.
type nowhere struct{}

func (nowhere) FindFileByPath(string) (protocompile.SearchResult, error) {
	return protocompile.SearchResult{}, fs.ErrNotExist
}

// FindFileByPath hands the compiler what was parsed, and nothing more when the context has ended.
func (s *sources) FindFileByPath(path string) (protocompile.SearchResult, error) {
	if err := s.ctx.Err(); err != nil {
		return protocompile.SearchResult{}, err
	}
	if file := s.files[path]; file != nil {
		return protocompile.SearchResult{AST: file}, nil
	}
	return protocompile.SearchResult{}, fs.ErrNotExist
}

func (s *sources) has(path string) bool { return s.files[path] != nil }

// load parses the file at path and what it imports. The file that imports it and the place there are for the complaint
// when it cannot be had; without an importer, the file itself is complained about.
func (s *sources) load(path, importer string, line, column int) {
	if _, seen := s.files[path]; seen || s.ctx.Err() != nil {
		return
	}
	complain := func(message string) {
		if importer == "" {
			s.problems.add(Problem{File: path, Message: message})
			return
		}
		s.problems.add(Problem{File: importer, Line: line, Column: column, Message: fmt.Sprintf("import %q: %s", path, message)})
	}
	if !fs.ValidPath(path) || path == "." || strings.Contains(path, `\`) {
		complain("a path goes from the package's root, with / and without ./ or ../")
		return
	}
	if len(s.files) >= MaxFiles {
		s.files[path] = nil
		complain(fmt.Sprintf("more than %d files", MaxFiles))
		return
	}
	source, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) && importer != "" {
		if _, err := s.standard.FindFileByPath(path); err == nil {
			return
		}
		complain("no such file in the package, and not one of the well-known types")
		return
	}
	s.files[path] = nil
	if errors.Is(err, fs.ErrNotExist) {
		complain("no such file in the package")
		return
	}
	if err != nil {
		complain(err.Error())
		return
	}
	file := s.parse(path, source)
	if file == nil {
		return
	}
	s.files[path] = file
	for _, imported := range imports(file) {
		at := file.NodeInfo(imported).Start()
		s.load(imported.AsString(), path, at.Line, at.Col)
	}
}

// imports are what a file names as its imports.
func imports(file *ast.FileNode) []ast.StringValueNode {
	var names []ast.StringValueNode
	for _, decl := range file.Decls {
		if imported, ok := decl.(*ast.ImportNode); ok {
			names = append(names, imported.Name)
		}
	}
	return names
}

func (s *sources) read(path string) ([]byte, error) {
	file, err := s.fsys.Open(path)
	if err != nil {
		return nil, err
	}
	source, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(source) > MaxFileBytes {
		err = fmt.Errorf("larger than %d bytes", MaxFileBytes)
	}
	return source, err
}

// parse returns nil when it reported a problem.
func (s *sources) parse(path string, source []byte) (file *ast.FileNode) {
	if wrong := s.bounds.look(path, source); wrong != nil {
		s.problems.add(*wrong)
		return nil
	}
	before := s.problems.count()
	// The parser is somebody else's and the file may be hostile: a defect there must not end a service.
	defer func() {
		if recovered := recover(); recovered != nil {
			s.problems.add(Problem{File: path, Message: fmt.Sprintf("the parser cannot read it: %v", recovered)})
			file = nil
		}
	}()
	parsed, err := parser.Parse(path, bytes.NewReader(source), reporter.NewHandler(s.problems.reporter()))
	if s.problems.count() > before {
		return nil
	}
	if err != nil {
		s.problems.add(Problem{File: path, Message: err.Error()})
		return nil
	}
	if node, message := tooMuch(parsed); message != "" {
		at := parsed.NodeInfo(node).Start()
		s.problems.add(Problem{File: path, Line: at.Line, Column: at.Col, Message: message})
		return nil
	}
	return parsed
}

// tooMuch finds a message that is larger or nested deeper than allowed, or a name that is longer with what it lies in: these
// would take the square of what is written.
func tooMuch(file *ast.FileNode) (ast.Node, string) {
	type level struct {
		node  ast.CompositeNode
		depth int
		size  int // of its name
	}
	whole := 0
	for _, decl := range file.Decls {
		if named, ok := decl.(*ast.PackageNode); ok {
			whole = len(named.Name.AsIdentifier())
		}
	}
	todo := []level{{file, 0, whole}}
	for len(todo) > 0 {
		top := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if top.depth > maxNesting {
			return top.node, fmt.Sprintf("messages are nested more than %d deep", maxNesting)
		}
		members := top.node.Children()
		if _, message := top.node.(*ast.MessageNode); message && len(members) > maxMembers {
			return top.node, fmt.Sprintf("more than %s fields and other things in one message", prose.Thousands(maxMembers))
		}
		for _, child := range members {
			next := level{depth: top.depth, size: top.size}
			switch nested := child.(type) {
			case *ast.MessageNode:
				next = level{nested, top.depth + 1, top.size + 1 + len(nested.Name.Val)}
			case *ast.GroupNode:
				next = level{nested, top.depth + 1, top.size + 1 + len(nested.Name.Val)}
			case *ast.EnumNode:
				next = level{nested, top.depth, top.size + 1 + len(nested.Name.Val)}
			case *ast.ServiceNode:
				next = level{nested, top.depth, top.size + 1 + len(nested.Name.Val)}
			case *ast.ExtendNode:
				next.node = nested
			case *ast.OneofNode:
				next.node = nested
			}
			if next.node == nil {
				continue
			}
			if next.size > maxNameBytes {
				return child, fmt.Sprintf("a name of more than %d bytes, with what it lies in", maxNameBytes)
			}
			todo = append(todo, next)
		}
	}
	return nil, ""
}

// collector gathers problems; the compiler reports from several goroutines. It keeps the first ones and counts the others.
type collector struct {
	mu    sync.Mutex
	list  Problems
	found int
}

func (c *collector) add(p Problem) {
	p.Message = shorten(p.Message)
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.list, p) {
		return
	}
	if c.found++; len(c.list) < maxProblems {
		c.list = append(c.list, p)
	}
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

// reporter makes the compiler go on after a problem, so that all of them are found.
func (c *collector) reporter() reporter.Reporter {
	return reporter.NewReporter(func(err reporter.ErrorWithPos) error {
		at := err.GetPosition()
		c.add(Problem{File: at.Filename, Line: at.Line, Column: at.Col, Message: err.Unwrap().Error()})
		return nil
	}, nil)
}

// err is what was found, nil when that is nothing. Files keep the order in which they were first complained about.
func (c *collector) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) == 0 {
		return nil
	}
	order := map[string]int{}
	for _, p := range c.list {
		if _, ok := order[p.File]; !ok {
			order[p.File] = len(order)
		}
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		if d := order[a.File] - order[b.File]; d != 0 {
			return d
		}
		if d := a.Line - b.Line; d != 0 {
			return d
		}
		return a.Column - b.Column
	})
	if more := c.found - len(c.list); more > 0 {
		return append(c.list, Problem{More: more, File: c.list[0].File, Message: fmt.Sprintf("and %s more", prose.Thousands(more))})
	}
	return c.list
}
