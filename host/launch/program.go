package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/konstellation-io/kre/host/pyenv"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// Program is what runs a node.
type Program struct {
	Path  string   // absolute
	Args  []string // without the program's own name
	Bin   string   // folder that comes first in PATH; empty: none
	Stamp string   // changes with what the program is made of
}

// Python makes ready the virtual environment of a Python node, which may take minutes the first time, and is the program
// that runs it. Any number of processes may ask for the same one at once. The error says what is missing, e.g. wheels
// for the Python of this machine.
func Python(ctx context.Context, opts pyenv.Options) (Program, error) {
	python, err := pyenv.Ensure(ctx, opts)
	if err != nil {
		return Program{}, err
	}
	return Program{Path: python, Args: []string{"-m", "kre"}, Bin: filepath.Dir(python), Stamp: python}, nil
}

// Executable is the program that runs a node that is one itself: file is absolute. That it is missing or no program for
// this machine is told by who starts it.
func Executable(file string) (Program, error) {
	stamp, err := digest(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return Program{Path: file, Stamp: stamp}, err
}

// PackageOptions say how the Python nodes of a package run.
type PackageOptions struct {
	Python string           // interpreter; empty: $KRE_PYTHON, else python3 in PATH
	Cache  string           // folder of kre's cache; empty: $KRE_CACHE, or kre in the user's cache folder
	Say    func(msg string) // told, before it is done, what takes longer; may be nil
}

// PackageProgram is the program that runs a node of the unpacked package root.
func PackageProgram(ctx context.Context, root string, node *runtimev1.Node, opts PackageOptions) (Program, error) {
	switch node.GetRunner() {
	case runtimev1.Runner_RUNNER_EXECUTABLE:
		return Executable(filepath.Join(root, filepath.FromSlash(node.GetSrc())))
	case runtimev1.Runner_RUNNER_PYTHON:
		found, err := pyenv.Find(ctx, opts.Python, opts.Cache)
		if err != nil {
			return Program{}, err
		}
		return Python(ctx, pyenv.Options{
			Root: root, Src: node.GetSrc(), Packed: true, Cache: opts.Cache, Interpreter: &found, Say: opts.Say,
		})
	}
	return Program{}, fmt.Errorf("node %s: nothing here runs %s", node.GetName(), node.GetRunner())
}

// digest is that of a file's content.
func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
