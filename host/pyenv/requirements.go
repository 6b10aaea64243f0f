package pyenv

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	requirementsFile = "requirements.txt"
	lockFile         = "requirements.lock"
)

// requirements are what a requirements.txt asks for, together with the files it includes.
type requirements struct {
	path    string   // of the file, slash-separated below the root
	name    string   // of the file on this machine
	text    string   // of it and of what it includes
	options []string // lines that say where to look for packages
}

// nearest answers the folder, slash-separated below root, nearest to a node's source that holds one of the named files:
// the folder of src, then those above it up to the root. ok is false if there is none.
func nearest(root, src string, names ...string) (dir string, ok bool, err error) {
	for dir := path.Dir(src); ; dir = path.Dir(dir) {
		for _, name := range names {
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir), name))
			if err == nil {
				return dir, true, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return "", false, err
			}
		}
		if dir == "." || dir == "/" {
			return "", false, nil
		}
	}
}

// findRequirements reads the requirements of a node; nil if it has none.
func findRequirements(root, src string) (*requirements, error) {
	dir, ok, err := nearest(root, src, requirementsFile)
	if err != nil || !ok {
		return nil, err
	}
	r := &requirements{path: path.Join(dir, requirementsFile)}
	// Whole, for uv runs in the folder of the file.
	if r.name, err = filepath.Abs(filepath.Join(root, filepath.FromSlash(r.path))); err != nil {
		return nil, fmt.Errorf("find %s: %w", r.path, err)
	}
	if err := r.read(r.name, nil); err != nil {
		return nil, err
	}
	if !r.any() {
		return nil, nil
	}
	return r, nil
}

var includeLine = regexp.MustCompile(`^(?:-r|--requirement|-c|--constraint)[ =]*(\S+)`)

// optionLine matches what says where packages are looked for.
var optionLine = regexp.MustCompile(`^(?:-i|--index-url|--extra-index-url|-f|--find-links|--no-index)\b`)

func (r *requirements) read(name string, within []string) error {
	if slices.Contains(within, name) {
		return fmt.Errorf("%s includes itself", within[0])
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		r.text += line + "\n"
		if optionLine.MatchString(line) {
			r.options = append(r.options, line)
		}
		if include := includeLine.FindStringSubmatch(line); include != nil {
			next := filepath.Join(filepath.Dir(name), filepath.FromSlash(include[1]))
			if err := r.read(next, append(slices.Clone(within), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock answers the file on this machine that the lock of the requirements is in, if there is one.
func (r *requirements) lock() string { return filepath.Join(filepath.Dir(r.name), lockFile) }

// any reports whether anything is required.
func (r *requirements) any() bool {
	for line := range strings.Lines(r.text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !optionLine.MatchString(line) && !includeLine.MatchString(line) {
			return true
		}
	}
	return false
}

// inputs changes whenever the requirements would resolve to something else for reasons that lie in the files: what is
// asked for, or what the SDK needs besides.
func (r *requirements) inputs(sdk []string) string {
	sum := sha256.Sum256([]byte(r.text + "\x00" + strings.Join(sdk, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
