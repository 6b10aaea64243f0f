package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

const copyBuffer = 256 << 10

// UnpackOptions change what [Unpack] does.
type UnpackOptions struct {
	Limits   Limits
	Digest   string           // if set, a package of another digest is refused
	Progress func(done int64) // told now and then how many bytes are written so far; may be nil
}

// Unpack writes the package in r into dir, which must not exist (os.ErrExist otherwise); its parent is made if needed.
// Until the whole package has proved good, everything lies in a folder beside dir, which is removed on any error, so dir
// is there whole or not at all. Files get mode 0644 or 0755; times are not kept.
func Unpack(ctx context.Context, r io.Reader, dir string, opts UnpackOptions) (*Package, error) {
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("unpack into %s: %w", dir, os.ErrExist)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("unpack into %s: %w", dir, err)
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".unpack-*")
	if err != nil {
		return nil, fmt.Errorf("unpack into %s: %w", dir, err)
	}
	p, err := unpackAll(ctx, r, temp, opts)
	if err == nil {
		err = settle(temp, dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(temp))
	}
	return p, nil
}

func settle(temp, dir string) error {
	if err := os.Chmod(temp, 0o755); err != nil { //nolint:gosec // a package is no secret; MkdirTemp makes 0700
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	return nil
}

func unpackAll(ctx context.Context, r io.Reader, temp string, opts UnpackOptions) (_ *Package, err error) {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	in, err := NewReader(contextReader{ctx: ctx, r: r}, opts.Limits)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, copyBuffer)
	progress := counter{tell: opts.Progress}
	for {
		file, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := writeFile(root, file, in, buf, &progress); err != nil {
			return nil, err
		}
	}
	p := in.Package()
	if opts.Digest != "" && opts.Digest != p.Digest {
		return nil, refuse(ErrDigest, "", "the package's digest is %s, not %s as expected: it is another package", p.Digest, opts.Digest)
	}
	return p, nil
}

func writeFile(root *os.Root, file File, content io.Reader, buf []byte, progress *counter) (err error) {
	if dir := path.Dir(file.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("unpack %q: %w", file.Path, err)
		}
	}
	mode := os.FileMode(0o644)
	if file.Executable {
		mode = 0o755
	}
	out, err := root.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("unpack %q: %w", file.Path, err)
	}
	defer func() {
		if closing := out.Close(); closing != nil && err == nil {
			err = fmt.Errorf("unpack %q: %w", file.Path, closing)
		}
	}()
	_, err = io.CopyBuffer(io.MultiWriter(out, progress), readerOnly{content}, buf)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		return err
	}
	if err != nil {
		return fmt.Errorf("unpack %q: %w", file.Path, err)
	}
	return nil
}

// contextReader ends reading when ctx does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives no longer than the call it was handed to
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

type writerOnly struct{ io.Writer }

// counter tells how many bytes have been written to it.
type counter struct {
	done int64
	tell func(done int64) // may be nil
}

func (c *counter) Write(b []byte) (int, error) {
	c.done += int64(len(b))
	if c.tell != nil {
		c.tell(c.done)
	}
	return len(b), nil
}
