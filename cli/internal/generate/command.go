package generate

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/konstellation-io/kre/cli/internal/gobuild"
)

// Command is `kre generate`. It also gives a Go project the SDK, so that its tests run.
type Command struct {
	Project  string   `arg:"" optional:"" default:"." help:"Folder of the project."`
	Language Language `name:"lang" short:"l" default:"auto" enum:"auto,python,go,both" help:"What to generate: python, go or both; auto adds Go where the project has a go.mod."`
	GoModule string   `placeholder:"PATH" help:"Module path of the Go types, for a project without go.mod."`
	Venv     bool     `help:"Also make .venv, with what the first Python node imports and pytest."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  kre generate                        the project in this folder, as its nodes need it
  kre generate demo --lang both       Python and Go
  kre generate demo --venv            and an environment for editors and tests`
}

// Run generates the code and prints what has changed.
func (c *Command) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

func (c *Command) run(ctx context.Context, stdout, stderr io.Writer) error {
	if info, err := os.Stat(c.Project); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s", c.Project)
	}
	result, err := Project(ctx, c.Project, Options{Language: c.Language, GoModule: c.GoModule})
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(stderr, "warning: %s\n", warning) //nolint:errcheck // nothing can be done about it
	}
	for _, name := range result.Written {
		fmt.Fprintf(stdout, "wrote    %s\n", name) //nolint:errcheck // as above
	}
	for _, name := range result.Removed {
		fmt.Fprintf(stdout, "removed  %s\n", name) //nolint:errcheck // as above
	}
	switch unchanged := len(result.Files) - len(result.Written); {
	case len(result.Files) == 0:
		fmt.Fprintln(stdout, "the project has no .proto: there is nothing to generate") //nolint:errcheck // as above
	case unchanged > 0:
		fmt.Fprintf(stdout, "%d of %d files were up to date\n", unchanged, len(result.Files)) //nolint:errcheck // as above
	}
	if err := c.goSDK(); err != nil {
		fmt.Fprintf(stderr, "warning: the Go SDK could not be given to the project: %v\n", err) //nolint:errcheck // as above
	}
	if !c.Venv {
		return nil
	}
	node, err := environment(ctx, c.Project, func(text string) { fmt.Fprintln(stdout, text) }) //nolint:errcheck // as above
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, ".venv    as for node %s, and pytest\n", node) //nolint:errcheck // as above
	return nil
}

// goSDK puts the SDK where the go.mod of a project expects it, so that `go test` works in a fresh clone.
func (c *Command) goSDK() error {
	module, err := modulePath(os.DirFS(c.Project))
	if err != nil || module == "" || c.Language == Python {
		return err
	}
	return gobuild.PrepareModule(c.Project, "")
}
