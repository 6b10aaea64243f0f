package generate

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// goList names the Go files that the last run has generated, one a line, so that those of a proto that was renamed can
// be removed: two Go files of one proto end a program as it starts.
const goList = ".kre/gen/go.files"

// Write writes the files below the folder root and removes what an earlier Write left there and is generated no more.
// A file whose content is right already is not touched.
func (o *Output) Write(root string) (Result, error) {
	result := Result{Files: slices.Sorted(maps.Keys(o.Files)), Warnings: o.Warnings}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return result, fmt.Errorf("write generated code: %w", err)
	}
	defer dir.Close() //nolint:errcheck // opened for names only
	if result.Removed, err = o.removeStale(dir); err != nil {
		return result, fmt.Errorf("remove generated code: %w", err)
	}
	for _, name := range result.Files {
		written, err := writeChanged(dir, name, o.Files[name])
		if err != nil {
			return result, fmt.Errorf("write generated code: %w", err)
		}
		if written {
			result.Written = append(result.Written, name)
		}
	}
	if o.golang {
		_, err = writeChanged(dir, goList, []byte(strings.Join(o.goFiles(), "\n")+"\n"))
	}
	if err != nil {
		return result, fmt.Errorf("write generated code: %w", err)
	}
	return result, nil
}

func (o *Output) goFiles() []string {
	var names []string
	for name := range o.Files {
		if strings.HasSuffix(name, goSuffix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// removeStale removes Python modules that are not among the files, and Go files that an earlier run lists and that are
// still generated ones.
func (o *Output) removeStale(dir *os.Root) ([]string, error) {
	var removed []string
	remove := func(name string) error {
		if _, wanted := o.Files[name]; wanted {
			return nil
		}
		err := dir.Remove(filepath.FromSlash(name))
		if err == nil {
			removed = append(removed, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err := fs.WalkDir(dir.FS(), PythonDir, func(name string, entry fs.DirEntry, err error) error {
		generated := strings.HasSuffix(name, "_pb2.py") || strings.HasSuffix(name, "_pb2.pyi")
		if err != nil || entry.IsDir() || !generated {
			return err
		}
		return remove(name)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return removed, err
	}
	if !o.golang {
		return removed, nil
	}
	list, err := fs.ReadFile(dir.FS(), goList)
	if errors.Is(err, fs.ErrNotExist) {
		return removed, nil
	}
	if err != nil {
		return removed, err
	}
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		if content, err := fs.ReadFile(dir.FS(), name); err != nil || !bytes.Contains(content, []byte("DO NOT EDIT")) {
			continue // gone, or somebody's own by now
		}
		if err := remove(name); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// writeChanged writes one file unless it holds the content already. A reader sees the old or the new content, never
// a part.
func writeChanged(dir *os.Root, name string, content []byte) (bool, error) {
	name = filepath.FromSlash(name)
	if before, err := dir.ReadFile(name); err == nil && bytes.Equal(before, content) {
		return false, nil
	}
	if err := dir.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	temporary := name + "." + rand.Text()[:8] // two runs at once must not take each other's
	if err := dir.WriteFile(temporary, content, 0o644); err != nil {
		return false, err
	}
	return true, dir.Rename(temporary, name)
}
