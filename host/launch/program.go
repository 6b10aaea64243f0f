package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/konstellation-io/kre/host/pyenv"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// Program is what runs a node.
type Program struct {
	Worker bool     // it is the worker of a runner, which can replace it
	Path   string   // absolute
	Args   []string // without the program's own name
	Bin    string   // folder that comes first in PATH; empty: none
	Stamp  string   // changes with what the program is made of
}

// RunnerName is the file, in the folder of the platform's programs, that starts the worker of a node and speaks to the
// broker for it.
const RunnerName = "runner"

// Runner is the platform's runner in the folder libexec. That it is missing is told by who starts it.
func Runner(libexec string) (Program, error) {
	program := Program{Path: filepath.Join(libexec, RunnerName)}
	var err error
	if program.Stamp, err = runners.digest(program.Path); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return program, err
}

// Python makes ready the virtual environment of a Python node, which may take minutes the first time, and is the program
// that runs it: the runner in the folder libexec, with a Python as its worker. Any number of processes may ask for the
// same one at once. The error says what is missing, e.g. wheels for the Python of this machine.
func Python(ctx context.Context, libexec string, opts pyenv.Options) (Program, error) {
	python, err := pyenv.Ensure(ctx, opts)
	if err != nil {
		return Program{}, err
	}
	return underRunner(libexec, Program{Path: python, Args: []string{"-m", "kre"}, Bin: filepath.Dir(python), Stamp: python})
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

// Worker is the program that runs a node that is an executable and speaks the worker protocol: the runner in the folder
// libexec, with the file as its worker. What is wrong with the file is told by the runner.
func Worker(libexec, file string) (Program, error) {
	worker, err := Executable(file)
	if err != nil {
		return Program{}, err
	}
	return underRunner(libexec, worker)
}

// underRunner is the runner that has the program for its worker.
func underRunner(libexec string, worker Program) (Program, error) {
	runner, err := Runner(libexec)
	if err != nil {
		return Program{}, fmt.Errorf("read the platform's runner: %w", err)
	}
	return Program{
		Worker: true, Path: runner.Path, Args: slices.Concat([]string{"--", worker.Path}, worker.Args), Bin: worker.Bin,
		Stamp: worker.Stamp + " " + runner.Stamp,
	}, nil
}

// PackageOptions say how the nodes of a package run. Without a Libexec only executables do that speak to the broker
// themselves.
type PackageOptions struct {
	Libexec string           // folder of the platform's programs, absolute
	Python  string           // interpreter; empty: $KRE_PYTHON, else python3 in PATH
	Cache   string           // folder of kre's cache; empty: $KRE_CACHE, or kre in the user's cache folder
	Say     func(msg string) // told, before it is done, what takes longer; may be nil
}

// PackageProgram is the program that runs a node of the unpacked package root.
func PackageProgram(ctx context.Context, root string, node *runtimev1.Node, opts PackageOptions) (Program, error) {
	switch node.GetRunner() {
	case runtimev1.Runner_RUNNER_EXECUTABLE:
		return Executable(filepath.Join(root, filepath.FromSlash(node.GetSrc())))
	case runtimev1.Runner_RUNNER_WORKER:
		return Worker(opts.Libexec, filepath.Join(root, filepath.FromSlash(node.GetSrc())))
	case runtimev1.Runner_RUNNER_PYTHON:
		found, err := pyenv.Find(ctx, opts.Python, opts.Cache)
		if err != nil {
			return Program{}, err
		}
		return Python(ctx, opts.Libexec, pyenv.Options{
			Root: root, Src: node.GetSrc(), Packed: true, Cache: opts.Cache, Interpreter: &found, Say: opts.Say,
		})
	}
	return Program{}, fmt.Errorf("node %s: nothing here runs %s", node.GetName(), node.GetRunner())
}
