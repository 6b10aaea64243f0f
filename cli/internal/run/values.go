package run

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/run/dotenv"
	"github.com/konstellation-io/kre/krt/manifest"
)

// envFileName is the file of a project whose values are used when no other is named.
const envFileName = ".env"

// given is where a person put the configuration values.
type given struct {
	env     []string // KEY=VALUE
	files   []string // KEY=PATH, relative to the working directory
	envFile string   // path; "": none
	named   bool     // somebody asked for that file, so that it has to be there
}

// values are what a version's configuration is set to.
type values struct {
	variables map[string]string
	files     map[string]string // absolute paths
}

// MissingError names all declared configuration values that nobody gave.
type MissingError struct {
	Variables, Files []string
	EnvFile          string // where they could be put
}

// Error says how to give them.
func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration is not complete: %s", strings.Join(slices.Concat(e.Variables, e.Files), ", "))
	for _, name := range e.Variables {
		fmt.Fprintf(&b, "\n  --env %s=VALUE", name)
		if e.EnvFile != "" {
			fmt.Fprintf(&b, "   or a line %s=VALUE in %s", name, e.EnvFile)
		}
	}
	for _, name := range e.Files {
		fmt.Fprintf(&b, "\n  --file %s=PATH", name)
		if e.EnvFile != "" {
			fmt.Fprintf(&b, "   or a line %s=PATH in %s", name, e.EnvFile)
		}
	}
	return b.String()
}

// watched are the files, as absolute paths, on whose content the values depend.
func (g given) watched() []string {
	var files []string
	if g.envFile != "" {
		files = append(files, g.envFile)
	}
	for _, pair := range g.files {
		_, path, _ := strings.Cut(pair, "=")
		if abs, err := filepath.Abs(path); err == nil {
			files = append(files, abs)
		}
	}
	return files
}

// gather collects the declared values. What the command line says comes before what the file says. What the file holds
// besides is nobody's business; an undeclared value on the command line is a mistake.
func (g given) gather(declared manifest.Config) (values, error) {
	v := values{variables: make(map[string]string), files: make(map[string]string)}
	if err := g.fromFile(declared, &v); err != nil {
		return values{}, err
	}
	for _, pair := range g.env {
		name, value, err := g.split(pair, "--env KEY=VALUE", declared.Variables, "config.variables")
		if err != nil {
			return values{}, err
		}
		v.variables[name] = value
	}
	for _, pair := range g.files {
		name, path, err := g.split(pair, "--file KEY=PATH", declared.Files, "config.files")
		if err != nil {
			return values{}, err
		}
		if v.files[name], err = filepath.Abs(path); err != nil {
			return values{}, err
		}
	}
	missing := &MissingError{EnvFile: g.envFile}
	for _, name := range declared.Variables {
		if _, ok := v.variables[name]; !ok {
			missing.Variables = append(missing.Variables, name)
		}
	}
	for _, name := range declared.Files {
		if _, ok := v.files[name]; !ok {
			missing.Files = append(missing.Files, name)
		}
	}
	if len(missing.Variables)+len(missing.Files) > 0 {
		return values{}, missing
	}
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		info, err := os.Stat(v.files[name])
		if err != nil {
			return values{}, fmt.Errorf("the file for %s: %w", name, err)
		}
		if !info.Mode().IsRegular() {
			return values{}, fmt.Errorf("the file for %s: %s is no file", name, v.files[name])
		}
	}
	return v, nil
}

func (g given) fromFile(declared manifest.Config, v *values) error {
	if g.envFile == "" {
		return nil
	}
	content, err := os.ReadFile(g.envFile)
	if errors.Is(err, fs.ErrNotExist) && !g.named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the file of configuration values: %w", err)
	}
	found, err := dotenv.Parse(string(content))
	if err != nil {
		return fmt.Errorf("%s: %w", g.envFile, err)
	}
	for _, name := range declared.Variables {
		if value, ok := found[name]; ok {
			v.variables[name] = value
		}
	}
	for _, name := range declared.Files {
		path, ok := found[name]
		if !ok {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(g.envFile), path)
		}
		v.files[name] = path
	}
	return nil
}

// split reads one value of the command line.
func (given) split(pair, form string, declared []string, where string) (name, value string, err error) {
	name, value, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return "", "", fmt.Errorf("%q is not of the form %s", pair, form)
	}
	if slices.Contains(declared, name) {
		return name, value, nil
	}
	if len(declared) == 0 {
		return "", "", fmt.Errorf("%s is given but not declared: the manifest has no %s", name, where)
	}
	return "", "", fmt.Errorf("%s is given but not declared: %s of the manifest holds %s", name, where, strings.Join(declared, ", "))
}
