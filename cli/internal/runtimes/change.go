package runtimes

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Create is `kre runtime create`.
type Create struct {
	remote.Flags
	output.Format
	remote.Why
	Name        string `arg:"" help:"Name: lower-case letters, digits and dashes, beginning with a letter."`
	Description string `short:"d" placeholder:"TEXT" help:"What it is for."`
	NoWait      bool   `help:"Do not wait until it can hold versions."`
}

// Help is shown below the flags.
func (*Create) Help() string {
	return `Examples:
  kre runtime create prices --description "What things cost"

The first runtime of an engine becomes the one that commands mean: kre runtime use chooses another.`
}

// Run makes a runtime.
func (c *Create) Run(ctx context.Context, con *console.Console) error {
	e, err := c.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	made, err := remote.Ask(ctx, e, "create runtime "+c.Name, e.Runtimes.CreateRuntime, &adminv1.CreateRuntimeRequest{
		RuntimeId: c.Name, Runtime: &adminv1.Runtime{Description: c.Description}, Comment: c.Comment,
	})
	if err != nil {
		return err
	}
	if !c.NoWait {
		if made, err = ready(ctx, e, con, made); err != nil {
			return err
		}
	}
	first := e.Runtime == ""
	if first {
		if err := choose(e.Name, c.Name); err != nil {
			return err
		}
	}
	if c.Structured() {
		return c.Message(con.Out, made)
	}
	p := con.Printer()
	p.Line("%s runtime %s is there", p.Paint(look.Green, "✓"), c.Name)
	output.Pairs(p, "gRPC", made.GetGrpcAddress(), "HTTP", made.GetHttpAddress())
	if first {
		con.Tell("Commands mean it from now on.")
	}
	return nil
}

// ready waits until a runtime can hold versions.
func ready(ctx context.Context, e *remote.Engine, con *console.Console, r *adminv1.Runtime) (*adminv1.Runtime, error) {
	err := remote.Until(ctx, con.Tell, func() (bool, error) {
		switch r.GetState() {
		case adminv1.Runtime_READY:
			return true, nil
		case adminv1.Runtime_ERROR:
			return false, fmt.Errorf("runtime %s was created, but is not ready: %s\nThe engine goes on trying: kre runtime get %s",
				remote.Last(r.GetName()), terminal.Clean(r.GetStateReason()), remote.Last(r.GetName()))
		}
		found, err := get(ctx, e, r.GetName())
		if err != nil {
			return false, err
		}
		r = found
		return r.GetState() == adminv1.Runtime_READY, nil
	})
	return r, err
}

// Update is `kre runtime update`.
type Update struct {
	remote.Flags
	output.Format
	Name        string `arg:"" predictor:"runtime" help:"Name of the runtime."`
	Description string `short:"d" required:"" placeholder:"TEXT" help:"What it is for."`
	Revision    int64  `placeholder:"N" help:"Change it only if this is its revision still."`
}

// Help is shown below the flags.
func (*Update) Help() string {
	return `Examples:
  kre runtime update prices --description "What things cost in Europe"`
}

// Run changes a runtime.
func (u *Update) Run(ctx context.Context, con *console.Console) error {
	e, err := u.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	changed, err := remote.Ask(ctx, e, "update runtime "+u.Name, e.Runtimes.UpdateRuntime, &adminv1.UpdateRuntimeRequest{
		Runtime:    &adminv1.Runtime{Name: remote.RuntimeName(u.Name), Description: u.Description, Revision: u.Revision},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description"}},
	})
	if err != nil {
		return err
	}
	return show(con, u.Format, changed)
}

// Delete is `kre runtime delete`.
type Delete struct {
	remote.Flags
	output.Format
	Name    string `arg:"" predictor:"runtime" help:"Name of the runtime."`
	Confirm string `placeholder:"NAME" help:"The name once more. Default: asked for."`
	NoWait  bool   `help:"Do not wait until everything is gone."`
}

// Help is shown below the flags.
func (*Delete) Help() string {
	return `Examples:
  kre runtime delete prices                     asks for the name once more
  kre runtime delete prices --confirm prices

All of its versions are stopped and removed, the published one too, with their configuration, messages and logs.`
}

// Run removes a runtime.
func (d *Delete) Run(ctx context.Context, con *console.Console) error {
	e, err := d.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	confirm := d.Confirm
	if confirm == "" && con.InTerminal() {
		question := fmt.Sprintf("This removes runtime %s and everything in it, for good. Its name, to go on: ", d.Name)
		if confirm, err = con.Ask(question); err != nil {
			return err
		}
	}
	if confirm == "" {
		return fmt.Errorf("nothing is deleted: --confirm %s says that it is meant", d.Name)
	}
	name := remote.RuntimeName(d.Name)
	tried := "delete runtime " + d.Name
	if _, err := remote.Ask(ctx, e, tried, e.Runtimes.DeleteRuntime, &adminv1.DeleteRuntimeRequest{Name: name, Confirm: confirm}); err != nil {
		return err
	}
	if err := forget(e.Name, d.Name); err != nil {
		return err
	}
	if d.NoWait {
		if d.Structured() {
			return d.Gone(con.Out, name, false)
		}
		con.Printer().Line("runtime %s is being removed", d.Name)
		return nil
	}
	err = remote.Until(ctx, con.Tell, func() (bool, error) {
		_, err := get(ctx, e, name)
		if status.Code(err) == codes.NotFound {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return err
	}
	if d.Structured() {
		return d.Gone(con.Out, name, true)
	}
	p := con.Printer()
	p.Line("%s runtime %s is gone", p.Paint(look.Green, "✓"), d.Name)
	return nil
}

// Use is `kre runtime use`.
type Use struct {
	remote.Flags
	output.Format
	Name string `arg:"" predictor:"runtime" help:"Name of the runtime."`
}

// Help is shown below the flags.
func (*Use) Help() string {
	return `Examples:
  kre runtime use prices                    for good, in this context
  kre version list --runtime prices         for one command
  KRE_RUNTIME=prices kre version list       for as long as the variable is set`
}

// Run chooses a runtime, which has to be there.
func (u *Use) Run(ctx context.Context, con *console.Console) error {
	e, err := u.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	found, err := get(ctx, e, remote.RuntimeName(u.Name))
	if err != nil {
		return err
	}
	name := remote.Last(found.GetName())
	if err := choose(e.Name, name); err != nil {
		return err
	}
	if u.Structured() {
		return u.Message(con.Out, found)
	}
	con.Printer().Line("commands mean runtime %s now", name)
	return nil
}

// choose makes a runtime the one that is meant in a context.
func choose(contextName, runtime string) error {
	config, err := cliconfig.Load()
	if err != nil {
		return err
	}
	chosen, ok := config.Contexts[contextName]
	if !ok {
		return errors.New("somebody has just removed the context " + contextName)
	}
	chosen.Runtime = runtime
	config.Contexts[contextName] = chosen
	return config.Save()
}

// forget makes no runtime the one that is meant, if it is this one.
func forget(contextName, runtime string) error {
	config, err := cliconfig.Load()
	if err != nil || config.Contexts[contextName].Runtime != runtime {
		return err
	}
	return choose(contextName, "")
}
