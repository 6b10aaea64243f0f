// Package runtimes is `kre runtime`: the isolated places of an engine that hold versions.
package runtimes

import (
	"context"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Command is `kre runtime`.
type Command struct {
	Create   Create   `cmd:"" help:"Make a runtime, and wait until it can hold versions."`
	List     List     `cmd:"" help:"Show all runtimes."`
	Get      Get      `cmd:"" help:"Show a runtime."`
	Update   Update   `cmd:"" help:"Change what is said about a runtime."`
	Delete   Delete   `cmd:"" help:"Remove a runtime and everything in it."`
	Use      Use      `cmd:"" help:"Choose the runtime that commands mean when they are told no other."`
	Activity Activity `cmd:"" help:"Show who did what in a runtime, and when."`
}

// get asks for a runtime by its resource name.
func get(ctx context.Context, e *remote.Engine, name string) (*adminv1.Runtime, error) {
	return remote.Ask(ctx, e, "look at runtime "+remote.Last(name), e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: name})
}

// List is `kre runtime list`.
type List struct {
	remote.Flags
	output.Format
	Filter string `placeholder:"TERMS" help:"Which: name = \"prod-*\"."`
}

// Help is shown below the flags.
func (*List) Help() string {
	return `Examples:
  kre runtime list
  kre runtime list --filter 'name = "prod-*"' -o json | jq -r '.[].name'`
}

// Run prints the runtimes by name.
func (l *List) Run(ctx context.Context, con *console.Console) error {
	e, err := l.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	all, err := e.AllRuntimes(ctx, l.Filter)
	if err != nil {
		return err
	}
	if l.Structured() {
		return output.Messages(l.Format, con.Out, all)
	}
	if len(all) == 0 {
		con.Tell("There is none. kre runtime create NAME makes one.")
		return nil
	}
	table := output.NewTable(con.Printer(), "", "RUNTIME", "STATE", "PUBLISHED", "ADDRESS", "AGE", "DESCRIPTION")
	for _, r := range all {
		mark := output.Cell{}
		if remote.Last(r.GetName()) == e.Runtime {
			mark = output.Cell{Text: "*", Color: look.Green}
		}
		table.Row(mark, output.Plain("%s", remote.Last(r.GetName())), output.RuntimeState(r), output.Plain("%s", remote.Last(r.GetPublishedVersion())),
			output.Plain("%s", r.GetHttpAddress()), output.Plain("%s", output.Age(r.GetCreateTime())), output.Plain("%s", r.GetDescription()))
	}
	table.Print()
	return nil
}

// Get is `kre runtime get`.
type Get struct {
	remote.Flags
	output.Format
	Name string `arg:"" optional:"" predictor:"runtime" help:"Name of the runtime. Default: the chosen one."`
}

// Help is shown below the flags.
func (*Get) Help() string {
	return `Examples:
  kre runtime get                the chosen one
  kre runtime get prices -o yaml`
}

// Run prints a runtime.
func (g *Get) Run(ctx context.Context, con *console.Console) error {
	e, name, err := remote.RuntimeFlags{Flags: g.Flags, Runtime: g.Name}.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	found, err := get(ctx, e, name)
	if err != nil {
		return err
	}
	return show(con, g.Format, found)
}

// show prints a runtime.
func show(con *console.Console, format output.Format, r *adminv1.Runtime) error {
	if format.Structured() {
		return format.Message(con.Out, r)
	}
	p := con.Printer()
	state := output.RuntimeState(r)
	p.Line("%s %s", p.Paint(look.Bold, remote.Last(r.GetName())), p.Paint(state.Color, state.Text))
	output.Pairs(p, "why", r.GetStateReason(), "description", r.GetDescription(), "published", remote.Last(r.GetPublishedVersion()),
		"gRPC", r.GetGrpcAddress(), "HTTP", r.GetHttpAddress(), "created", output.Clock(r.GetCreateTime()))
	return nil
}
