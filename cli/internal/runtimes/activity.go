package runtimes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Activity is `kre runtime activity`.
type Activity struct {
	remote.Flags
	output.Format
	Name    string `arg:"" optional:"" predictor:"runtime" help:"Name of the runtime. Default: the chosen one."`
	Version string `placeholder:"NAME" help:"Only what was done to this version."`
	Action  string `placeholder:"ACTION" help:"Only this, e.g. version.publish."`
	Limit   int    `short:"n" default:"50" placeholder:"N" help:"At most so many."`
}

// Help is shown below the flags.
func (*Activity) Help() string {
	return `Examples:
  kre runtime activity                              the newest first
  kre runtime activity --action version.publish     what was published, and why
  kre runtime activity --version prices-v2 -n 5`
}

// Run prints activities, the newest first.
func (a *Activity) Run(ctx context.Context, con *console.Console) error {
	e, name, err := remote.RuntimeFlags{Flags: a.Flags, Runtime: a.Name}.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	if a.Limit < 1 {
		return fmt.Errorf("--limit %d: want at least 1", a.Limit)
	}
	var terms []string
	if a.Version != "" {
		terms = append(terms, fmt.Sprintf("version = %q", remote.Last(remote.VersionName(name, a.Version))))
	}
	if a.Action != "" {
		terms = append(terms, fmt.Sprintf("action = %q", a.Action))
	}
	var all []*adminv1.Activity
	err = e.Activities(ctx, name, strings.Join(terms, " AND "), a.Limit, func(one *adminv1.Activity) bool {
		all = append(all, one)
		return len(all) < a.Limit
	})
	if err != nil {
		return err
	}
	if a.Structured() {
		return output.Messages(a.Format, con.Out, all)
	}
	table := output.NewTable(con.Printer(), "TIME", "WHO", "WHAT", "VERSION", "WHY", "DETAILS")
	for _, one := range all {
		var details []string
		for _, key := range slices.Sorted(maps.Keys(one.GetDetails())) {
			details = append(details, key+"="+one.GetDetails()[key])
		}
		table.Row(output.Plain("%s", output.Clock(one.GetTime())), output.Plain("%s", one.GetActor()), output.Plain("%s", one.GetAction()),
			output.Plain("%s", remote.Last(one.GetVersion())), output.Plain("%s", one.GetComment()), output.Plain("%s", strings.Join(details, " ")))
	}
	table.Print()
	return nil
}
