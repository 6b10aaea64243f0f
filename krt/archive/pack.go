package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// partialEnding is that of a package's file until it is whole.
const partialEnding = ".krt-part"

// level of compression. Models hardly shrink, so it is chosen for speed: the digest takes as long as the compression.
const level = 3

// PackOptions change what [Pack] does.
type PackOptions struct {
	Extra    []Source                // go into the package besides the project's files, or in place of one
	Progress func(done, total int64) // told now and then how many bytes of the files are packed; may be nil
}

// Packed is what [Pack] made.
type Packed struct {
	*Package
	LeftOut []LeftOut
	Bytes   int64 // of the archive
}

// Pack writes the package of a project, its files being those of [Scan] and the extra ones, to the file output, which
// appears whole or not at all. The same files give the same bytes.
func Pack(ctx context.Context, project, output string, opts PackOptions) (*Packed, error) {
	sources, left, err := Scan(project)
	if err != nil {
		return nil, err
	}
	if sources, err = merge(sources, opts.Extra, output); err != nil {
		return nil, err
	}
	out, err := os.CreateTemp(filepath.Dir(output), "."+filepath.Base(output)+"-*"+partialEnding)
	if err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	packed, err := packInto(ctx, out, sources, opts.Progress)
	if err == nil {
		err = os.Rename(out.Name(), output)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(out.Name()))
	}
	packed.LeftOut = left
	return packed, nil
}

// merge lets extra files take the place of a project's, and leaves out the file that is about to be written.
func merge(sources, extra []Source, output string) ([]Source, error) {
	output, err := filepath.Abs(output)
	if err == nil {
		var dir string
		if dir, err = filepath.EvalSymlinks(filepath.Dir(output)); err == nil {
			output = filepath.Join(dir, filepath.Base(output))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	replaced := make(map[string]bool, len(extra))
	for _, e := range extra {
		replaced[e.Path] = true
	}
	sources = slices.DeleteFunc(sources, func(s Source) bool { return replaced[s.Path] || s.Name == output })
	return append(sources, extra...), nil
}

func packInto(ctx context.Context, out *os.File, sources []Source, progress func(done, total int64)) (*Packed, error) {
	p, err := Write(ctx, out, sources, progress)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	info, err := out.Stat()
	if err == nil {
		err = out.Chmod(0o644) //nolint:gosec // a package is no secret; CreateTemp makes 0600
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	return &Packed{Package: p, Bytes: info.Size()}, nil
}

// Write writes a package of the given files to w: the manifest first, then the .proto files, then the rest, each sorted
// by path, so that a bad manifest is seen before the rest arrives. It refuses what [Reader] would.
func Write(ctx context.Context, w io.Writer, sources []Source, progress func(done, total int64)) (*Package, error) {
	sources = slices.Clone(sources)
	slices.SortFunc(sources, order)
	total, err := check(sources)
	if err != nil {
		return nil, err
	}
	zipped, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	out := tar.NewWriter(zipped)
	done := counter{}
	if progress != nil {
		done.tell = func(n int64) { progress(n, total) }
	}
	files := make([]File, 0, len(sources))
	buf := make([]byte, copyBuffer)
	for _, source := range sources {
		file, err := store(ctx, out, source, &done, buf)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", source.Path, err)
		}
		files = append(files, file)
	}
	if err := errors.Join(out.Close(), zipped.Close()); err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	return newPackage(files), nil
}

// order of the files in a package.
func order(a, b Source) int {
	if rank := rank(a.Path) - rank(b.Path); rank != 0 {
		return rank
	}
	return strings.Compare(a.Path, b.Path)
}

func rank(p string) int {
	switch {
	case isManifest(p):
		return 0
	case path.Ext(p) == ".proto":
		return 1
	}
	return 2
}

// check refuses what could not be unpacked, and answers how many bytes there are.
func check(sources []Source) (total int64, err error) {
	paths := newPathSet(defaultMaxEntries)
	for _, source := range sources {
		clean, err := cleanPath(source.Path)
		if err != nil {
			return 0, err
		}
		if clean != source.Path {
			return 0, refuse(ErrName, source.Path, "%q is not the plain path of a file", source.Path)
		}
		if err := paths.add(clean, false, source.Path); err != nil {
			return 0, err
		}
		if err := paths.keep(clean, source.Size, source.Path); err != nil {
			return 0, err
		}
		total += source.Size
	}
	return total, paths.checkManifest()
}

func store(ctx context.Context, out *tar.Writer, source Source, done *counter, buf []byte) (File, error) {
	in, err := os.Open(source.Name)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = in.Close() }() // only read
	mode := int64(0o644)
	if source.Executable {
		mode = 0o755
	}
	err = out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: source.Path, Size: source.Size, Mode: mode,
		ModTime: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), // GNU tar warns about 1970
	})
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	// One byte more than expected shows whether the file has grown.
	content := io.LimitReader(contextReader{ctx: ctx, r: in}, source.Size+1)
	n, err := io.CopyBuffer(io.MultiWriter(sum, out, done), content, buf)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != source.Size {
		return File{}, errors.New("the file changed while it was packed: pack again")
	}
	if err != nil {
		return File{}, err
	}
	return File{
		Path: source.Path, Executable: source.Executable, Size: source.Size, SHA256: hex.EncodeToString(sum.Sum(nil)),
	}, nil
}
