// Package initproject is `kre init`: a project that runs at once, to begin from.
package initproject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/generate"
	"github.com/konstellation-io/kre/cli/internal/gobuild"
	"github.com/konstellation-io/kre/host/pyenv"
)

// Language is what a new project's node is written in.
type Language string

// The languages.
const (
	Python Language = "python"
	Go     Language = "go"
)

// Command is `kre init`.
type Command struct {
	Dir      string   `arg:"" name:"name" type:"path" help:"Folder to make; its name is the project's."`
	Language Language `name:"lang" short:"l" default:"python" enum:"python,go" help:"What the node is written in: python or go."`
	Force    bool     `short:"f" help:"Also in a folder that holds something; files that are there are kept."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `The project has one node, which greets, its tests, and all that they import: it runs at once.

Examples:
  kre init demo              a project in Python, in the new folder demo
  kre init demo --lang go    in Go
  kre init . --force         here`
}

// Run makes the project and prints what to do next.
func (c *Command) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *Command) run(ctx context.Context, stdout io.Writer) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	n, err := namesOf(filepath.Base(dir), c.Language)
	if err != nil {
		return err
	}
	files, err := render(n, c.Language)
	if err != nil {
		return err
	}
	if err := c.mayFill(dir); err != nil {
		return err
	}
	kept, err := write(dir, files)
	if err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(stdout, format+"\n", args...) //nolint:errcheck // nothing can be done about it
	}
	if err := c.prepare(ctx, dir, n, func(message string) { say("%-*s  %s", column, "", message) }); err != nil {
		return fmt.Errorf("the files of the project are there, but it cannot run yet: %w", err)
	}
	c.report(dir, n, files, kept, say)
	return nil
}

// mayFill refuses a folder that holds something.
func (c *Command) mayFill(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("make the project: %w", err)
	case len(entries) > 0 && !c.Force:
		return fmt.Errorf("%s is not empty: choose another name, or add --force to keep what is there and add what is missing", c.Dir)
	}
	return nil
}

// write writes the files that are not there yet and returns the paths of those that are.
func write(dir string, files map[string][]byte) (kept []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Lstat(file); err == nil {
			kept = append(kept, name)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, files[name], 0o644); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// prepare makes what the project's tests and an editor need: generated code, and the SDK with what belongs to it.
func (c *Command) prepare(ctx context.Context, dir string, n names, say func(string)) error {
	if c.Language == Go {
		if err := gobuild.PrepareModule(dir, n.Name); err != nil {
			return err
		}
		_, err := generate.Project(ctx, dir, generate.Options{Language: generate.Go})
		return err
	}
	if _, err := generate.Project(ctx, dir, generate.Options{Language: generate.Python}); err != nil {
		return err
	}
	python, err := pyenv.Ensure(ctx, pyenv.Options{Root: dir, Src: "src/greet/main.py", Dev: true, Say: say})
	if err != nil {
		return err
	}
	return pyenv.Link(dir, python)
}

// column is the width of the first column of what is printed.
const column = 4

func (c *Command) report(dir string, n names, files map[string][]byte, kept []string, say func(string, ...any)) {
	width := max(column, len(n.Name))
	var made []string
	for _, name := range []string{"krt.yml", "public_input.proto", "src/greet/main.py", "cmd/greet/main.go", "cmd/greet/main_test.go",
		"tests/test_greet.py", "README.md", ".env"} {
		if _, ours := files[name]; ours && !slices.Contains(kept, name) {
			made = append(made, name)
		}
	}
	test := "go test ./..."
	if c.Language == Python {
		made = append(made, ".venv")
		test = ".venv/bin/python -m pytest"
	} else {
		made = append(made, "pb/", "go.mod")
	}
	say("%-*s  %s", width, n.Name, strings.Join(made, " "))
	if len(kept) > 0 {
		say("%-*s  %s", width, "kept", strings.Join(kept, " "))
	}
	if here, err := os.Getwd(); err != nil || here != dir {
		say("%-*s  cd %s", width, "next", c.Dir)
		say("%-*s  kre run", width, "")
	} else {
		say("%-*s  kre run", width, "next")
	}
	say(`%-*s  kre call Greet '{"name":"Ada"}'    in another terminal`, width, "")
	say("%-*s  %s", width, "", test)
}
