package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
)

// halfFetched begins the name of a directory into which a package is being fetched.
const halfFetched = ".fetch-"

func (rt *runtime) packageDir(digest string) string { return rt.path(packagesDir, digest) }

// fetchPackage makes a package be here, whole and with the right digest, and returns its directory.
func (rt *runtime) fetchPackage(ctx context.Context, from Packages, version, digest string) (dir string, err error) {
	dir = rt.packageDir(digest)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(rt.path(packagesDir), 0o700); err != nil {
		return "", fmt.Errorf("make a directory for packages: %w", err)
	}
	temp, err := os.MkdirTemp(rt.path(packagesDir), halfFetched+"*")
	if err != nil {
		return "", fmt.Errorf("make a directory for the package: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	if err := fetchInto(ctx, temp, from, version, digest); err != nil {
		return "", err
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil { // another version of the same package was faster
			return dir, os.RemoveAll(temp)
		}
		return "", fmt.Errorf("put the package in its place: %w", err)
	}
	return dir, nil
}

func fetchInto(ctx context.Context, dir string, from Packages, version, digest string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("fetch the package: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	var files []archive.File
	err = from.Fetch(ctx, version, digest, func(file archive.File, content io.Reader) error {
		written, err := writePackageFile(root, file, content)
		files = append(files, written)
		return err
	})
	if err != nil {
		return fmt.Errorf("fetch the package: %w", err)
	}
	if got := archive.Digest(files); got != digest {
		return fault.New(fault.Precondition, "the package that is stored has the digest %s, not %s as expected", got, digest)
	}
	return nil
}

// writePackageFile writes a file of a package, and returns it as it is.
func writePackageFile(root *os.Root, file archive.File, content io.Reader) (archive.File, error) {
	if parent := path.Dir(file.Path); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return file, fmt.Errorf("write %q: %w", file.Path, err)
		}
	}
	mode := os.FileMode(0o644)
	if file.Executable {
		mode = 0o755
	}
	out, err := root.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return file, fmt.Errorf("write %q: %w", file.Path, err)
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(out, sum), content)
	if err = errors.Join(err, out.Close()); err != nil {
		return file, fmt.Errorf("write %q: %w", file.Path, err)
	}
	file.Size, file.SHA256 = size, hex.EncodeToString(sum.Sum(nil))
	return file, nil
}

// sweepHalfFetched removes what a crash has left of packages that were being fetched.
func (rt *runtime) sweepHalfFetched() error {
	return rt.sweep(func(name string) bool { return strings.HasPrefix(name, halfFetched) })
}

// sweepPackages removes the packages that no version names.
func (rt *runtime) sweepPackages() error {
	named := make(map[string]struct{})
	rt.mu.Lock()
	defer rt.mu.Unlock() // so that no version comes to name one meanwhile
	for _, v := range rt.versions {
		named[v.record.Digest] = struct{}{}
		if v.plan != nil {
			named[v.plan.digest] = struct{}{}
		}
	}
	return rt.sweep(func(name string) bool {
		_, used := named[name]
		return !used && !strings.HasPrefix(name, halfFetched)
	})
}

func (rt *runtime) sweep(which func(name string) bool) error {
	entries, err := os.ReadDir(rt.path(packagesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for packages: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if which(entry.Name()) {
			errs = append(errs, rt.c.discardDir(filepath.Join(rt.path(packagesDir), entry.Name())))
		}
	}
	return errors.Join(errs...)
}
