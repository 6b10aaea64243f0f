package pyenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/host/filelock"
	"github.com/konstellation-io/kre/kit/proc"
)

//go:embed installer.py
var installer []byte

// ready is the file that shows that an environment is whole. Environments cannot be moved, so they are made in place.
const ready = ".kre-ready"

// wheelsFolder is where a package holds its wheels, in one folder per platform and Python.
const wheelsFolder = ".kre/wheels"

// env is a virtual environment that is wanted.
type env struct {
	opts   Options
	python Interpreter
	sdk    []wheel // carried
	tool   wheel   // carried; what puts wheels into the environment
	lock   lock    // of what else is wanted; without pins if nothing is

	fetch *requirements // what the lock was made from; nil: the wheels are in the package

	// held is handed to the programs that fill the environment: if we are killed, the next one waits for their end.
	held *os.File
}

// ensure answers the environment's interpreter, having made the environment if it was not there.
func (e *env) ensure(ctx context.Context) (string, error) {
	dir := filepath.Join(e.opts.Cache, "venvs", e.key())
	python := filepath.Join(dir, "bin", "python")
	if whole(dir) {
		return python, nil
	}
	held, err := filelock.Open(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("wait for the environment: %w", err)
	}
	defer func() { _ = held.Close() }() // closing unlocks
	e.held = held
	if whole(dir) { // somebody else has made it
		return python, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("make the environment: %w", err)
	}
	if err := e.make(ctx, dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return python, writeFile(filepath.Join(dir, ready), nil)
}

func whole(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ready))
	return err == nil
}

// key names the environment by everything that it is made from.
func (e *env) key() string {
	sum := sha256.New()
	python, err := json.Marshal(e.python)
	if err != nil {
		panic(err) // strings only
	}
	fmt.Fprintf(sum, "%s\n%s\n%x\n", python, digestOf(e.sdk), sha256.Sum256(installer))
	fmt.Fprintf(sum, "%s\n", digestOf([]wheel{e.tool}))
	for _, p := range e.lock.Pins {
		fmt.Fprintln(sum, p.Text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:10])
}

func (e *env) make(ctx context.Context, dir string) error {
	temp, err := os.MkdirTemp("", "kre-wheels-*")
	if err != nil {
		return fmt.Errorf("make the environment: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // the system's own folder for what is temporary
	carried, err := e.writeCarried(temp)
	if err != nil {
		return fmt.Errorf("make the environment: %w", err)
	}
	wheels := carried
	if e.fetch == nil && len(e.lock.Pins) > 0 {
		e.opts.Say(fmt.Sprintf("install %d packages from the package's wheels", len(e.lock.Pins)))
		packed, err := e.packedWheels()
		if err != nil {
			return err
		}
		wheels = append(packed, wheels...)
	}
	tool := filepath.Join(temp, "tool", e.tool.name)
	if err := writeFile(tool, e.tool.data); err != nil {
		return fmt.Errorf("make the environment: %w", err)
	}
	if err := e.install(ctx, dir, tool, wheels, carried); err != nil {
		return err
	}
	if e.fetch == nil || len(e.lock.Pins) == 0 {
		return nil
	}
	e.opts.Say(fmt.Sprintf("install %d packages of %s", len(e.lock.Pins), e.fetch.path))
	return e.fetchInto(ctx, filepath.Join(dir, "bin", "python"))
}

// packedWheels answers the wheels in the package that the lock is about, their hashes checked.
func (e *env) packedWheels() ([]string, error) {
	folder := path.Join(wheelsFolder, folderFor(e.python))
	there, err := byHash(filepath.Join(e.opts.Root, filepath.FromSlash(folder)))
	if err != nil {
		return nil, err
	}
	names, missing := e.lock.pick(there)
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s holds no wheel of %s %s with a hash that %s lists: pack it again",
			folder, missing[0].Name, missing[0].Version, lockFile)
	}
	return names, nil
}

// writeCarried writes the carried wheels that the lock does not have in a version of its own.
func (e *env) writeCarried(dir string) ([]string, error) {
	locked := e.lock.names()
	var names []string
	for _, w := range e.sdk {
		if w.project != sdkName && slices.Contains(locked, w.project) {
			continue
		}
		name := filepath.Join(dir, w.name)
		if err := os.WriteFile(name, w.data, 0o644); err != nil { //nolint:gosec // no secret
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// install makes the environment and puts the wheels into it, with the wheel of installer.
func (e *env) install(ctx context.Context, dir, tool string, wheels, compile []string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the environment: %w", err)
	}
	job, err := json.Marshal(map[string]any{"env": dir, "wheels": orEmpty(wheels), "compile": orEmpty(compile)})
	if err != nil {
		return fmt.Errorf("make the environment: %w", err)
	}
	cmd := proc.Bind(exec.CommandContext(ctx, e.python.Path, "-I", "-c", string(installer), tool))
	cmd.Stdin = bytes.NewReader(job)
	cmd.ExtraFiles = []*os.File{e.held}
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("make the environment with %s: %w", e.python.Path, err)
	}
	return nil
}

func orEmpty(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// readPackage finds out what an unpacked package holds for the node, and says so where that is less than the node asks for.
func (e *env) readPackage() error {
	carries, err := e.readWheels()
	if err != nil || carries {
		return err
	}
	// Only for what is said: requirements that cannot be read ask for nothing here.
	if wanted, err := findRequirements(e.opts.Root, e.opts.Src); err == nil && wanted != nil {
		e.opts.Say(fmt.Sprintf("the package carries no wheels of what %s asks for (packed with --no-vendor?): "+
			"%s starts with what the SDK needs", wanted.path, e.opts.Src))
	}
	return nil
}

// readWheels reads the lock of the wheels that the package carries for the node; false: it carries none.
func (e *env) readWheels() (bool, error) {
	folders, err := os.ReadDir(filepath.Join(e.opts.Root, filepath.FromSlash(wheelsFolder)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the package's wheels: %w", err)
	}
	dir, ok, err := nearest(e.opts.Root, e.opts.Src, requirementsFile, lockFile)
	if err != nil || !ok || len(folders) == 0 {
		return false, err
	}
	l, ours, err := readLock(filepath.Join(e.opts.Root, filepath.FromSlash(dir), lockFile))
	if err != nil || !ours {
		return false, err
	}
	if l.target() != e.python.target() {
		return false, fmt.Errorf("%s is packed for %s, this is %s: name a Python that fits in KRE_PYTHON, or pack it again here",
			e.opts.Src, l.target(), e.python.target())
	}
	e.lock = l
	return true, nil
}

// readProject finds out what the requirements of a project's node resolve to.
func (e *env) readProject(ctx context.Context) error {
	wanted, err := findRequirements(e.opts.Root, e.opts.Src)
	if err != nil || wanted == nil {
		return err
	}
	e.fetch = wanted
	e.lock, err = resolve(ctx, e.opts, e.sdk, wanted, false)
	return err
}

// folderFor names the folder of the wheels for an interpreter.
func folderFor(python Interpreter) string {
	return strings.ReplaceAll(python.Platform, "/", "-") + "-" + python.Tag
}
