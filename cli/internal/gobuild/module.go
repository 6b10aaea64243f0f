package gobuild

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	goversion "go/version"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/konstellation-io/kre/host/filelock"
)

const (
	sdkModule  = "github.com/konstellation-io/kre/runner-sdk/go"
	sdkVersion = "v0.0.0" // never looked up: the module is replaced
	sdkFolder  = ".kre/sdk/go"
)

// PrepareModule puts the carried Go SDK into `<project>/.kre/sdk/go` and makes go.mod and go.sum of the project use it.
// With a module path, a go.mod that is not there is made; without, nothing happens to a project that has none or whose
// code does not import the SDK. A replace directive that takes the SDK from elsewhere is left alone. No network is
// reached and no Go toolchain needed; nothing is written that is right already.
func PrepareModule(project, modulePath string) error {
	return prepare(project, ".", modulePath)
}

// prepare does that for the module in the folder dir, slash-separated below project.
func prepare(project, dir, modulePath string) error {
	m := projectModule{project: project, dir: filepath.Join(project, filepath.FromSlash(dir)), path: modulePath}
	var err error
	if m.target, err = sdkPath(dir); err != nil {
		return err
	}
	mod, err := m.read()
	if err != nil || mod == nil {
		return err
	}
	if wanted, err := m.wantsSDK(mod); err != nil || !wanted {
		return err
	}
	unlock, err := filelock.Lock(context.Background(), m.sdk()+".lock") // held for milliseconds
	if err != nil {
		return fmt.Errorf("give the project the Go SDK: %w", err)
	}
	defer unlock()
	if err := extractSDK(m.sdk()); err != nil {
		return err
	}
	if mod, err = m.read(); err != nil { // as it is now: another build may have changed it
		return err
	}
	return m.use(mod)
}

// projectModule is a Go module of a project.
type projectModule struct {
	project string // the project's root
	dir     string // the module's folder
	path    string // of the module, if it is to be made; else ""
	target  string // the SDK's folder as a replace directive in this module names it
}

func (m projectModule) sdk() string { return filepath.Join(m.project, filepath.FromSlash(sdkFolder)) }

// read parses go.mod; it is nil if there is none and none is to be made.
func (m projectModule) read() (*modfile.File, error) {
	name := filepath.Join(m.dir, "go.mod")
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && m.path == "":
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		text = []byte("module " + modfile.AutoQuote(m.path) + "\n")
	case err != nil:
		return nil, fmt.Errorf("read the project's module: %w", err)
	}
	mod, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, fmt.Errorf("read the project's module: %w", err)
	}
	return mod, nil
}

// use writes go.mod and go.sum so that they use the SDK that lies in the project.
func (m projectModule) use(mod *modfile.File) error {
	if err := require(mod, m.sdk(), m.target); err != nil {
		return err
	}
	mod.Cleanup()
	if err := writeIfChanged(filepath.Join(m.dir, "go.mod"), modfile.Format(mod.Syntax)); err != nil {
		return err
	}
	return mergeSums(filepath.Join(m.dir, "go.sum"), filepath.Join(m.sdk(), "go.sum"))
}

// sdkPath answers the SDK's folder as a replace directive in the module in dir has to name it.
func sdkPath(dir string) (string, error) {
	below, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(sdkFolder))
	if err != nil {
		return "", fmt.Errorf("name the SDK's folder: %w", err)
	}
	below = filepath.ToSlash(below)
	if !strings.HasPrefix(below, "../") {
		below = "./" + below
	}
	return below, nil
}

// wantsSDK reports whether the module is to use the carried SDK.
func (m projectModule) wantsSDK(mod *modfile.File) (bool, error) {
	for _, r := range mod.Replace {
		if r.Old.Path == sdkModule {
			return r.New.Path == m.target, nil
		}
	}
	if m.path != "" {
		return true, nil
	}
	for _, r := range mod.Require {
		if r.Mod.Path == sdkModule {
			return true, nil
		}
	}
	return importsSDK(m.dir)
}

// importsSDK reports whether Go code of the module imports the SDK.
func importsSDK(folder string) (bool, error) {
	found := false
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != folder && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || !entry.Type().IsRegular() {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return nil //nolint:nilerr // the compiler says it better
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err == nil && (imported == sdkModule || strings.HasPrefix(imported, sdkModule+"/")) {
				found = true
				return fs.SkipAll
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for Go code that uses the SDK: %w", err)
	}
	return found, nil
}

// require makes the module use the SDK in the folder, with at least the versions the SDK itself requires.
func require(mod *modfile.File, folder, target string) error {
	name := filepath.Join(folder, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the SDK's module: %w", err)
	}
	sdk, err := modfile.Parse(name, text, nil)
	if err != nil {
		return fmt.Errorf("read the SDK's module: %w", err)
	}
	if mod.Go == nil || goversion.Compare("go"+mod.Go.Version, "go"+sdk.Go.Version) < 0 {
		if err := mod.AddGoStmt(sdk.Go.Version); err != nil {
			return fmt.Errorf("set the project's Go version: %w", err)
		}
	}
	wanted := slices.Clone(mod.Require)
	at := func(path string) int {
		return slices.IndexFunc(wanted, func(r *modfile.Require) bool { return r.Mod.Path == path })
	}
	if at(sdkModule) < 0 {
		wanted = append(wanted, &modfile.Require{Mod: module.Version{Path: sdkModule, Version: sdkVersion}})
	}
	for _, r := range sdk.Require {
		switch i := at(r.Mod.Path); {
		case i < 0:
			wanted = append(wanted, &modfile.Require{Mod: r.Mod, Indirect: true})
		case semver.Compare(wanted[i].Mod.Version, r.Mod.Version) < 0:
			wanted[i] = &modfile.Require{Mod: r.Mod, Indirect: wanted[i].Indirect}
		}
	}
	mod.SetRequireSeparateIndirect(wanted)
	if err := mod.AddReplace(sdkModule, "", target, ""); err != nil {
		return fmt.Errorf("take the SDK from %s: %w", target, err)
	}
	return nil
}

// mergeSums adds the SDK's checksums to the project's.
func mergeSums(name, sdk string) error {
	var lines []string
	for _, file := range []string{name, sdk} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the checksums: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	// The order of the go command: by module, then version, a version's go.mod after it.
	slices.SortStableFunc(lines, func(a, b string) int {
		pathA, versionA, _ := strings.Cut(a, " ")
		pathB, versionB, _ := strings.Cut(b, " ")
		pair := []module.Version{{Path: pathA, Version: version(versionA)}, {Path: pathB, Version: version(versionB)}}
		if pair[0] == pair[1] {
			return 0
		}
		first := pair[0]
		module.Sort(pair)
		if pair[0] == first {
			return -1
		}
		return 1
	})
	lines = slices.Compact(lines)
	if len(lines) == 0 {
		return nil
	}
	return writeIfChanged(name, []byte(strings.Join(lines, "\n")+"\n"))
}

func version(rest string) string {
	v, _, _ := strings.Cut(rest, " ")
	return v
}

func writeIfChanged(name string, text []byte) error {
	old, err := os.ReadFile(name)
	if err == nil && string(old) == string(text) {
		return nil
	}
	if err := os.WriteFile(name, text, 0o644); err != nil { //nolint:gosec // a file of the project
		return fmt.Errorf("write the project's module: %w", err)
	}
	return nil
}
