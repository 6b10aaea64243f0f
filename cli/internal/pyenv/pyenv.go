// Package pyenv keeps the virtual environments of Python nodes in the user's cache, one per set of requirements, so
// that starting a node costs nothing once its environment is there. A packed node's environment is made from what the
// package and kre itself carry, without a network.
package pyenv

import (
	"context"
	"errors"
)

// Options say whose environment is wanted.
type Options struct {
	Root   string // of the project or the unpacked package
	Src    string // the node's src, slash-separated below Root
	Packed bool   // Root is an unpacked package: nothing is resolved or fetched
	Dev    bool   // pytest as well, so that `python -m pytest` works

	Cache  string           // folder of kre's cache; "" is $KRE_CACHE, or kre in the user's cache folder
	Python string           // interpreter; "" is $KRE_PYTHON, or python3
	Say    func(msg string) // told, before it is done, what takes longer; may be nil
}

// Ensure makes the environment if it is not there yet and returns the path of its interpreter. Any number of processes
// may ask for the same one at once.
func Ensure(ctx context.Context, opts Options) (python string, err error) {
	return "", errors.New("pyenv: in the making")
}

// Link makes `<project>/.venv` a link to the environment of that interpreter, for editors and for
// `.venv/bin/python -m pytest`. A .venv that is not a link is left as it is.
func Link(project, python string) error {
	return errors.New("pyenv: in the making")
}
