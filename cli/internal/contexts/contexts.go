package contexts

import (
	"maps"
	"slices"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
)

// Command is `kre context`.
type Command struct {
	List   List   `cmd:"" help:"Show the engines that are known."`
	Show   Show   `cmd:"" help:"Show the engine that commands talk to."`
	Use    Use    `cmd:"" help:"Choose the engine that commands talk to."`
	Delete Delete `cmd:"" help:"Forget an engine, and the token for it."`
}

// List is `kre context list`.
type List struct {
	output.Format
}

// Help is shown below the flags.
func (*List) Help() string {
	return `Examples:
  kre context list            the current one has a star
  kre context list -o json    without their tokens`
}

// listed is a context as programs see it: without its token.
type listed struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	GRPC    string `json:"grpcAddress"`
	HTTP    string `json:"httpAddress"`
	Runtime string `json:"runtime"`
}

// shown is a context as programs see it.
func shown(config cliconfig.Config, name string) listed {
	c := config.Contexts[name]
	return listed{name, name == config.Current, c.GRPC, c.HTTP, c.Runtime}
}

// Run prints the contexts by name.
func (l *List) Run(con *console.Console) error {
	config, err := cliconfig.Load()
	if err != nil {
		return err
	}
	all := make([]listed, 0, len(config.Contexts))
	for _, name := range slices.Sorted(maps.Keys(config.Contexts)) {
		all = append(all, shown(config, name))
	}
	if l.Structured() {
		return l.Value(con.Out, all)
	}
	if len(all) == 0 {
		con.Tell("No engine is known here. %s", remote.Elsewhere)
		return nil
	}
	table := output.NewTable(con.Printer(), "", "CONTEXT", "ADDRESS", "RUNTIME")
	for _, c := range all {
		mark := output.Cell{}
		if c.Current {
			mark = output.Cell{Text: "*", Color: look.Green}
		}
		table.Row(mark, output.Plain("%s", c.Name), output.Plain("%s", c.GRPC), output.Plain("%s", c.Runtime))
	}
	table.Print()
	return nil
}

// Use is `kre context use`.
type Use struct {
	output.Format
	Name string `arg:"" predictor:"context" help:"Name of the context."`
}

// Help is shown below the flags.
func (*Use) Help() string {
	return `Examples:
  kre context use prod                        for good
  kre version list --context prod             for one command
  KRE_CONTEXT=prod kre version list           for as long as the variable is set`
}

// Run makes the context the current one.
func (u *Use) Run(con *console.Console) error {
	config, err := known(u.Name)
	if err != nil {
		return err
	}
	config.Current = u.Name
	if err := config.Save(); err != nil {
		return err
	}
	if u.Structured() {
		return u.Value(con.Out, shown(config, u.Name))
	}
	con.Printer().Line("commands talk to %s now", config.Contexts[u.Name].GRPC)
	return nil
}

// Show is `kre context show`.
type Show struct {
	output.Format
	Name string `arg:"" optional:"" predictor:"context" help:"Name of the context. Default: the current one."`
}

// Help is shown below the flags.
func (*Show) Help() string {
	return `Examples:
  kre context show
  kre context show prod -o yaml`
}

// Run prints one context.
func (s *Show) Run(con *console.Console) error {
	config, err := cliconfig.Load()
	if err != nil {
		return err
	}
	name, _, err := remote.Flags{Context: s.Name}.Choose(config)
	if err != nil {
		return err
	}
	c := shown(config, name)
	if s.Structured() {
		return s.Value(con.Out, c)
	}
	file, err := cliconfig.File()
	if err != nil {
		return err
	}
	p := con.Printer()
	output.Pairs(p, "context", name, "address", c.GRPC, "http", c.HTTP, "runtime", c.Runtime, "kept in", file)
	return nil
}

// Delete is `kre context delete`.
type Delete struct {
	output.Format
	Name string `arg:"" predictor:"context" help:"Name of the context."`
}

// Help is shown below the flags.
func (*Delete) Help() string {
	return `Examples:
  kre context delete prod     the engine itself is not touched`
}

// Run forgets the context. If it was the current one, none is until one is chosen.
func (d *Delete) Run(con *console.Console) error {
	config, err := known(d.Name)
	if err != nil {
		return err
	}
	delete(config.Contexts, d.Name)
	none := config.Current == d.Name
	if none {
		config.Current = ""
	}
	if err := config.Save(); err != nil {
		return err
	}
	if d.Structured() {
		return d.Gone(con.Out, d.Name, true)
	}
	con.Printer().Line("%s is forgotten", d.Name)
	if none && len(config.Contexts) > 0 {
		con.Tell("It was the current one: kre context use NAME chooses another.")
	}
	return nil
}

// known is the configuration, which has a context of that name.
func known(name string) (cliconfig.Config, error) {
	config, err := cliconfig.Load()
	if err != nil {
		return cliconfig.Config{}, err
	}
	if _, ok := config.Contexts[name]; !ok {
		return cliconfig.Config{}, remote.NoContext(config, name)
	}
	return config, nil
}
