// Package generate writes the code of a project's protos, for Python and for Go, without protoc: `kre generate`, and
// what `kre run` and `kre pack` do before they start.
package generate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/protos"
)

// PythonDir is where Python modules are written, slash-separated from the project's root. It is on sys.path of every
// Python node.
const PythonDir = ".kre/gen/python"

// Language chooses what is generated.
type Language string

// What can be chosen. Auto is Python, and Go where the project has a go.mod.
const (
	Auto   Language = "auto"
	Python Language = "python"
	Go     Language = "go"
	Both   Language = "both"
)

// Options are what may be other than usual. The zero value generates what the project's manifest and go.mod ask for.
type Options struct {
	// Proto is the path of the public proto. Empty: the one that the manifest names, if any.
	Proto string
	// Language chooses what is generated. Empty: Auto.
	Language Language
	// GoModule is the module path that Go packages lie in. Empty: the one of go.mod.
	GoModule string
}

// Output is generated code.
type Output struct {
	// Files holds contents by path, slash-separated from the project's root.
	Files map[string][]byte
	// Warnings tell what was left out or decided, one sentence each.
	Warnings []string

	golang bool // Go was generated, even if there was nothing to generate it from
}

// Result tells what Project has done.
type Result struct {
	Files    []string // all that is generated, sorted paths from the root
	Written  []string // those of them that were not there or were different
	Removed  []string // what an earlier run had generated and this one does not
	Warnings []string
}

// Project generates the code of the project in the folder root: Python modules into PythonDir, Go packages where their
// import paths say. A file whose content is right already is not touched, so that a watcher sees changes only.
//
// Errors are protos.Problems when the protos are wrong, manifest.Problems when the manifest is.
func Project(ctx context.Context, root string, opts Options) (Result, error) {
	output, err := Render(ctx, os.DirFS(root), opts)
	if err != nil {
		return Result{}, err
	}
	return output.Write(root)
}

// Render generates the code of the project or package fsys, in memory. It is generated from the public proto, what it
// imports, and all other protos of the project that compile; one that does not is left out with a warning. Without any
// proto the output is empty.
func Render(ctx context.Context, fsys fs.FS, opts Options) (*Output, error) {
	if opts.Proto == "" {
		proto, err := publicProto(fsys)
		if err != nil {
			return nil, err
		}
		opts.Proto = proto
	}
	output := &Output{Files: make(map[string][]byte)}
	set, err := output.compile(ctx, fsys, opts.Proto)
	if err != nil {
		return nil, err
	}
	module, err := opts.goModule(fsys)
	if err != nil {
		return nil, err
	}
	if opts.Language != Go {
		if err := output.python(set); err != nil {
			return nil, err
		}
	}
	if module != "" {
		if err := output.goPackages(set, opts.Proto, module); err != nil {
			return nil, err
		}
	}
	return output, nil
}

// goModule returns the module to generate Go for; empty: none.
func (o Options) goModule(fsys fs.FS) (string, error) {
	switch o.Language {
	case "", Auto, Go, Both:
	case Python:
		return "", nil
	default:
		return "", fmt.Errorf("language %q is none of %s, %s, %s, %s", o.Language, Auto, Python, Go, Both)
	}
	if o.GoModule != "" {
		return o.GoModule, nil
	}
	module, err := modulePath(fsys)
	if err != nil {
		return "", err
	}
	if module == "" && (o.Language == Go || o.Language == Both) {
		return "", errors.New("the project has no go.mod to tell the import path of its Go types: make one (go mod init NAME), " +
			"or give the path with --go-module")
	}
	return module, nil
}

// publicProto returns the path of the project's public proto; empty: it has none.
func publicProto(fsys fs.FS) (string, error) {
	name, err := manifest.Find(fsys)
	if err != nil {
		return "", err
	}
	content, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", fmt.Errorf("read the manifest: %w", err)
	}
	m, problems := manifest.Parse(name, content)
	if err := problems.Err(); err != nil {
		return "", err
	}
	if _, err := fs.Stat(fsys, m.Proto); m.Proto == manifest.DefaultProto && errors.Is(err, fs.ErrNotExist) {
		return "", nil // every version may do without
	}
	return m.Proto, nil
}

// compile compiles the public proto and whatever else compiles.
func (o *Output) compile(ctx context.Context, fsys fs.FS, public string) (*protos.Set, error) {
	var accepted []string
	set := &protos.Set{}
	if public != "" {
		accepted = append(accepted, public)
		var err error
		if set, err = protos.Compile(ctx, fsys, accepted...); err != nil {
			return nil, err
		}
	}
	others, err := findProtos(fsys)
	if err != nil {
		return nil, err
	}
	for _, file := range set.Local {
		others = slices.DeleteFunc(others, func(other string) bool { return other == file.Path() })
	}
	if len(others) == 0 {
		return set, nil
	}
	if all, err := protos.Compile(ctx, fsys, append(slices.Clone(accepted), others...)...); err == nil {
		return all, nil
	}
	for _, other := range others {
		more, err := protos.Compile(ctx, fsys, append(slices.Clone(accepted), other)...)
		var problems protos.Problems
		switch {
		case err == nil:
			set = more
			accepted = append(accepted, other)
		case errors.As(err, &problems):
			o.Warnings = append(o.Warnings, fmt.Sprintf("%s was left out: %s", other, problems[0]))
		default:
			return nil, err
		}
	}
	return set, nil
}

// skipped are folders whose protos are not the project's.
var skipped = []string{"node_modules", "vendor", "third_party", "testdata", "__pycache__"}

// findProtos returns the paths of all protos of a project, in lexical order. Hidden folders are not looked into.
func findProtos(fsys fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || slices.Contains(skipped, entry.Name())):
			return fs.SkipDir
		case entry.Type().IsRegular() && path.Ext(name) == ".proto":
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for protos: %w", err)
	}
	return found, nil
}
