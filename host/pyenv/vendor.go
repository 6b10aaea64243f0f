package pyenv

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// VendorOptions say whose wheels are wanted.
type VendorOptions struct {
	Project string   // root of the project
	Srcs    []string // of its Python nodes, slash-separated below the root

	Cache       string           // as in [Options]
	Interpreter *Interpreter     // as in [Options]
	Say         func(msg string) // as in [Options]
}

// File is a wheel or a lock that goes into a package.
type File struct {
	Path string // in the package, slash-separated
	Name string // of the file on this machine
	Size int64  // bytes
}

// Vendor resolves the requirements of a project's Python nodes for this machine's platform and Python, writes each
// result to a requirements.lock beside its requirements.txt, and answers the locks and the wheels, each once and sorted
// by path. A lock that is there and still fits is kept. Nodes without requirements need no wheels: kre carries the SDK's.
func Vendor(ctx context.Context, vendor VendorOptions) ([]File, error) {
	opts := Options{Root: vendor.Project, Cache: vendor.Cache, Interpreter: vendor.Interpreter, Say: vendor.Say}
	var err error
	if opts.Cache, err = cacheFolder(opts.Cache); err != nil {
		return nil, err
	}
	if opts.Say == nil {
		opts.Say = func(string) {}
	}
	byPath := map[string]File{}
	done := map[string]bool{}
	for _, src := range vendor.Srcs {
		wanted, err := findRequirements(vendor.Project, src)
		if err != nil {
			return nil, err
		}
		if wanted == nil || done[wanted.path] {
			continue
		}
		done[wanted.path] = true
		if opts.Interpreter == nil {
			found, err := Find(ctx, "", opts.Cache)
			if err != nil {
				return nil, err
			}
			opts.Interpreter = &found
		}
		files, err := vendorOne(ctx, opts, wanted)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			byPath[f.Path] = f
		}
	}
	return slices.SortedFunc(maps.Values(byPath), func(a, b File) int { return strings.Compare(a.Path, b.Path) }), nil
}

func vendorOne(ctx context.Context, opts Options, wanted *requirements) ([]File, error) {
	sdk, err := carriedWheels(false)
	if err != nil {
		return nil, err
	}
	locked, err := resolve(ctx, opts, sdk, wanted, true)
	if err != nil {
		return nil, err
	}
	if err := writeLock(wanted, locked); err != nil {
		return nil, err
	}
	store := filepath.Join(opts.Cache, "wheels", folderFor(*opts.Interpreter))
	names, err := fromStore(ctx, opts, wanted, locked, store)
	if err != nil {
		return nil, err
	}
	files := []File{{Path: path.Join(path.Dir(wanted.path), lockFile), Name: wanted.lock()}}
	for _, name := range names {
		in := path.Join(wheelsFolder, folderFor(*opts.Interpreter), filepath.Base(name))
		files = append(files, File{Path: in, Name: name})
	}
	for i := range files {
		info, err := os.Stat(files[i].Name)
		if err != nil {
			return nil, fmt.Errorf("vendor: %w", err)
		}
		files[i].Size = info.Size()
	}
	return files, nil
}

// writeLock writes the lock beside its requirements, unless it is there already.
func writeLock(wanted *requirements, l lock) error {
	name := wanted.lock()
	old, err := os.ReadFile(name)
	if err == nil {
		if string(old) == l.String() {
			return nil
		}
		if _, ours, err := parseLock(string(old)); !ours && err == nil {
			return fmt.Errorf("%s is in the way: it was not made by kre. Give it another name, and list what it holds in %s",
				path.Join(path.Dir(wanted.path), lockFile), requirementsFile)
		}
	}
	if err := os.WriteFile(name, []byte(l.String()), 0o644); err != nil { //nolint:gosec // a file of the project
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// fromStore answers the wheels of the lock in the store, having fetched those that were not there. The store belongs to one
// platform and Python, so that whatever is in it fits.
func fromStore(ctx context.Context, opts Options, wanted *requirements, l lock, store string) ([]string, error) {
	there, err := stored(store)
	if err != nil {
		return nil, err
	}
	names, missing := l.pick(there)
	if len(missing) == 0 {
		return names, nil
	}
	if err := fetch(ctx, opts, wanted, missing, store); err != nil {
		return nil, err
	}
	if there, err = stored(store); err != nil {
		return nil, err
	}
	if names, missing = l.pick(there); len(missing) > 0 {
		return nil, fmt.Errorf("fetch the wheels of %s: the package index answered without one of %s", wanted.path, missing[0].Name)
	}
	return names, nil
}

func fetch(ctx context.Context, opts Options, wanted *requirements, missing []pin, store string) error {
	opts.Say(fmt.Sprintf("fetch %d wheels of %s", len(missing), wanted.path))
	file, err := writePins(missing, wanted.options)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }() // the system's own folder for what is temporary
	if err := os.MkdirAll(store, 0o755); err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	temp, err := os.MkdirTemp(store, ".partial-*")
	if err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // in the cache
	if err := download(ctx, opts, file, temp); err != nil {
		return fmt.Errorf("fetch the wheels of %s for %s: %s", wanted.path, opts.Interpreter.target(), noWheel(err.Error()))
	}
	names, err := filepath.Glob(filepath.Join(temp, "*.whl"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := keep(name, store); err != nil {
			return err
		}
	}
	return nil
}

// keep moves a wheel into the store, in a folder named after its hash.
func keep(name, store string) error {
	hash, err := hashOf(name)
	if err != nil {
		return err
	}
	dir := filepath.Join(store, hash)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	if err := os.Rename(name, filepath.Join(dir, filepath.Base(name))); err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	return nil
}

var noDistribution = regexp.MustCompile(`No matching distribution found for (\S+)`)

func noWheel(text string) string {
	if match := noDistribution.FindStringSubmatch(text); match != nil {
		return "there is no wheel of " + match[1] + " for this platform and Python"
	}
	return text
}
