package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Dir tells what the package is that was unpacked into dir. Every file below dir belongs to it; a link or a special file
// is refused, as it is in an archive.
func Dir(ctx context.Context, dir string) (*Package, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read the unpacked package: %w", err)
	}
	defer func() { _ = root.Close() }() // only read
	var files []File
	buf := make([]byte, copyBuffer)
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return ctx.Err()
		case entry.Type()&fs.ModeSymlink != 0:
			return refuse(ErrLink, name, "%q is a link: a package holds files only", name)
		case !entry.Type().IsRegular():
			return refuse(ErrSpecial, name, "%q is a device, pipe or socket: a package holds files only", name)
		}
		file, err := hashFile(ctx, root, name, buf)
		files = append(files, file)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the unpacked package: %w", err)
	}
	return newPackage(files), nil
}

func hashFile(ctx context.Context, root *os.Root, name string, buf []byte) (File, error) {
	in, err := root.Open(name)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = in.Close() }() // only read
	info, err := in.Stat()
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	size, err := io.CopyBuffer(writerOnly{sum}, contextReader{ctx: ctx, r: in}, buf)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return File{
		Path: name, Executable: info.Mode()&0o111 != 0, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)),
	}, nil
}
