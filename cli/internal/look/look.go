// Package look opens what a person names on the command line (a project's folder, a manifest or a .krt) in order to
// judge and show it. It runs nothing, unpacks nothing and writes nothing.
package look

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Subject is a version as it was found.
type Subject struct {
	Path     string             // as it was named
	Name     string             // of the manifest
	Manifest *manifest.Manifest // as Parse and Check left it; nil when it is not even YAML
	Problems manifest.Problems  // all that is wrong with it and with its package
	Project  string             // the project's folder; empty for a .krt
	Package  *archive.Package   // what the .krt holds; nil for a project
}

// Refusal is the summary of what is complained about; nil when there is nothing.
func (s *Subject) Refusal() error {
	complaints, warnings := s.Problems.Complaints(), s.Problems.Warnings()
	if len(complaints) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s%s", s.Title(), Count(len(complaints), "complaint"), And(len(warnings), "warning"))
}

// Title is the name of the file that is meant: the manifest of a project, or the .krt.
func (s *Subject) Title() string {
	if s.Package != nil {
		return filepath.Base(s.Path)
	}
	return s.Name
}

// Open reads what is at path. A manifest stands for the project in its folder. What is wrong with the manifest is in
// Subject.Problems; the error says that there is none to be judged, or that a .krt is none.
func Open(ctx context.Context, path string) (*Subject, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist; name a project's folder, its manifest or a .krt", path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return openProject(path, path, "")
	case isYAML(path):
		return openProject(path, filepath.Dir(path), filepath.Base(path))
	}
	return openPacked(ctx, path)
}

func isYAML(path string) bool {
	extension := strings.ToLower(filepath.Ext(path))
	return extension == ".yml" || extension == ".yaml"
}

// openProject reads the manifest of that name, or the one that there is.
func openProject(path, folder, name string) (*Subject, error) {
	root, err := os.OpenRoot(folder) // links that leave the project are not followed: they cannot be packed
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	if name == "" {
		if name, err = manifest.Find(root.FS()); err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
	}
	m, problems, err := manifest.Load(manifest.Project(root.FS()), name)
	if err != nil {
		return nil, err
	}
	return &Subject{Path: path, Name: name, Manifest: m, Problems: problems, Project: folder}, nil
}

// openPacked reads a .krt once, from its beginning to its end.
func openPacked(ctx context.Context, path string) (*Subject, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	content, err := readPacked(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	name, err := manifest.Find(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m, problems, err := manifest.Load(content, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Subject{Path: path, Name: name, Manifest: m, Problems: problems, Package: content.pack}, nil
}
