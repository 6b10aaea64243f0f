package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/konstellation-io/kre/krt/archive"
)

// source is where the version comes from.
type source struct {
	root   string // absolute, of the project or of the unpacked package
	state  string // absolute, of the folder whose .kre/run.json tells where the version runs
	packed bool
}

// openSource finds the project at path, or unpacks the package there into dir.
func openSource(ctx context.Context, path, dir string) (source, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return source{}, fmt.Errorf("%s does not exist; give the folder of a project or a .krt file", path)
	}
	if err != nil {
		return source{}, err
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return source{}, err
	}
	if info.IsDir() {
		return source{root: path, state: path}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer file.Close() //nolint:errcheck // only read
	root := filepath.Join(dir, "package")
	if _, err := archive.Unpack(ctx, file, root, archive.UnpackOptions{}); err != nil {
		return source{}, fmt.Errorf("cannot unpack %s: %w", filepath.Base(path), err)
	}
	state, err := os.Getwd()
	if err != nil {
		return source{}, err
	}
	return source{root: root, state: state, packed: true}, nil
}
