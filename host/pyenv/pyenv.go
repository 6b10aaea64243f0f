// Package pyenv keeps the virtual environments of Python nodes in the user's cache, one per set of requirements, so
// that starting a node costs nothing once its environment is there. A packed node's environment is made from what the
// package and kre itself carry, without a network.
package pyenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Options say whose environment is wanted.
type Options struct {
	Root   string // of the project or the unpacked package
	Src    string // the node's src, slash-separated below Root
	Packed bool   // Root is an unpacked package: nothing is resolved or fetched
	Dev    bool   // pytest as well, so that `python -m pytest` works

	Cache       string           // folder of kre's cache; "" is $KRE_CACHE, or kre in the user's cache folder
	Interpreter *Interpreter     // as [Find] answers it; nil: it is found
	Say         func(msg string) // told, before it is done, what takes longer; may be nil
}

// Ensure makes the environment if it is not there yet and returns the path of its interpreter. Any number of processes
// may ask for the same one at once.
//
// A project's node gets what its requirements.txt (the nearest from the folder of src up to the root) resolves to; what
// a requirements.lock beside it says is taken as it is if it fits. A packed node gets the wheels in the package, if
// there are any for it, and must have been packed for this platform and Python. Every node gets the SDK.
func Ensure(ctx context.Context, opts Options) (python string, err error) {
	if opts.Cache, err = cacheFolder(opts.Cache); err != nil {
		return "", err
	}
	if opts.Say == nil {
		opts.Say = func(string) {}
	}
	if opts.Interpreter == nil {
		found, err := Find(ctx, "", opts.Cache)
		if err != nil {
			return "", err
		}
		opts.Interpreter = &found
	}
	sdk, err := carriedWheels(opts.Dev)
	if err != nil {
		return "", err
	}
	tool, err := carriedInstaller()
	if err != nil {
		return "", err
	}
	e := env{opts: opts, python: *opts.Interpreter, sdk: sdk, tool: tool}
	if opts.Packed {
		err = e.readPackage()
	} else {
		err = e.readProject(ctx)
	}
	if err != nil {
		return "", err
	}
	return e.ensure(ctx)
}

// Link makes `<project>/.venv` a link to the environment of that interpreter, for editors and for
// `.venv/bin/python -m pytest`. A .venv that is not a link is left as it is.
func Link(project, python string) error {
	link, target := filepath.Join(project, ".venv"), filepath.Dir(filepath.Dir(python))
	info, err := os.Lstat(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("link the environment: %w", err)
	case info.Mode()&fs.ModeSymlink == 0:
		return nil
	default:
		if old, err := os.Readlink(link); err == nil && old == target {
			return nil
		}
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("link the environment: %w", err)
		}
	}
	if err := os.Symlink(target, link); err != nil {
		return fmt.Errorf("link the environment: %w", err)
	}
	return nil
}
