// Package carried holds what a kre executable brings along so that a project needs nothing from elsewhere: the wheels
// of the Python SDK, what installs them, and the Go SDK's source. `make carried` makes the files before kre is built; a kre built without
// them works until they are needed, and then says so.
package carried

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// ErrMissing says that this kre was built without what it should carry.
var ErrMissing = errors.New("this kre was built without the SDKs it carries: run `make carried`, then build it again")

//go:embed all:files
var files embed.FS

// Wheels returns a folder of wheels: the Python SDK and what it needs at run time.
func Wheels() (fs.FS, error) { return folder("wheels") }

// Installer returns a folder of one wheel: the library that puts wheels into an environment.
func Installer() (fs.FS, error) { return folder("installer") }

// DevWheels returns a folder of wheels: pytest and what it needs.
func DevWheels() (fs.FS, error) { return folder("dev") }

func folder(name string) (fs.FS, error) {
	dir, err := fs.Sub(files, "files/"+name)
	if err != nil {
		return nil, fmt.Errorf("carried %s: %w", name, err)
	}
	wheels, err := fs.Glob(dir, "*.whl")
	if err != nil {
		return nil, fmt.Errorf("carried %s: %w", name, err)
	}
	if len(wheels) == 0 {
		return nil, ErrMissing
	}
	return dir, nil
}
