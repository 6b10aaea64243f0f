package manifest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Files is a package, or a project that will become one, as far as Check needs to know it.
type Files interface {
	fs.FS
	// Exists reports whether path is a regular file of the package, or will be one when it is packed.
	Exists(path string) bool
	// Names lists files to suggest in place of one that is missing. It may leave some out.
	Names() []string
}

// Package is the files of a package at fsys.
func Package(fsys fs.FS) Files { return packageFiles{fsys} }

// Project is the files of a project at fsys, before packing: an executable bin/<x> is there too when there is a Go
// program to build it from (see GoSource).
func Project(fsys fs.FS) Files { return projectFiles{packageFiles{fsys}} }

type packageFiles struct{ fs.FS }

func (p packageFiles) Exists(path string) bool {
	info, err := fs.Stat(p.FS, path)
	return err == nil && info.Mode().IsRegular()
}

// maxNames bounds how much of a large package is looked at for a suggestion.
const maxNames = 5000

func (p packageFiles) Names() []string {
	var names []string
	// What cannot be read is not suggested.
	_ = fs.WalkDir(p.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case len(names) == maxNames:
			return fs.SkipAll
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "__pycache__"):
			return fs.SkipDir
		case entry.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	return names
}

type projectFiles struct{ packageFiles }

func (p projectFiles) Exists(path string) bool {
	if p.packageFiles.Exists(path) {
		return true
	}
	_, ok := GoSource(p.FS, path)
	return ok
}

// GoSource finds the folder of the Go program (package main) from which a project's executable src, bin/<x>, is built:
// cmd/<x> or src/<x>, dashes and underscores being alike. It does not matter whether the executable is there already.
func GoSource(fsys fs.FS, src string) (dir string, ok bool) {
	if path.Dir(src) != "bin" {
		return "", false
	}
	wanted := strings.ReplaceAll(path.Base(src), "-", "_")
	for _, parent := range []string{"cmd", "src"} {
		entries, err := fs.ReadDir(fsys, parent)
		if err != nil {
			continue // the usual case: there is no such folder
		}
		for _, entry := range entries {
			dir := path.Join(parent, entry.Name())
			if strings.ReplaceAll(entry.Name(), "-", "_") == wanted && holdsProgram(fsys, dir) {
				return dir, true
			}
		}
	}
	return "", false
}

// holdsProgram reports whether a Go file in dir says package main.
func holdsProgram(fsys fs.FS, dir string) bool {
	files, err := fs.Glob(fsys, path.Join(dir, "*.go"))
	if err != nil {
		return false
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly)
		if err == nil && file.Name.Name == "main" {
			return true
		}
	}
	return false
}

// Find is the name of the one manifest at the root of fsys. Its errors say what is there instead.
func Find(fsys fs.FS) (string, error) {
	var found []string
	for _, name := range FileNames() {
		if _, err := fs.Stat(fsys, name); err == nil {
			found = append(found, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("no manifest: there is none of %s", strings.Join(FileNames(), ", "))
	default:
		return "", fmt.Errorf("more than one manifest: %s; remove all but one", strings.Join(found, ", "))
	}
}

// Load parses and checks the manifest of that name. The error is one of reading the file; what is wrong with the
// manifest is in Problems.
func Load(files Files, name string) (*Manifest, Problems, error) {
	data, err := readManifest(files, name)
	if err != nil {
		return nil, nil, err
	}
	m, problems := Parse(name, data)
	return m, Join(problems, Check(m, files)), nil
}

// readManifest reads just enough of a file that is too large for Parse to say so.
func readManifest(fsys fs.FS, name string) (data []byte, err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err = io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
