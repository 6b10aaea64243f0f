// Package overview is `kre status`: the runtimes of an engine, what is published, what runs and what waits there, and which
// nodes are in trouble.
package overview

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Command is `kre status`.
type Command struct {
	remote.Flags
	output.Format
	Runtime string `placeholder:"NAME" predictor:"runtime" help:"Only this runtime. Default: all."`
	Once    bool   `help:"Print it once. So it is where no terminal looks at it, and with -o json or yaml."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  kre status                    a live table, until Ctrl-C
  kre status --once
  kre status -o json | jq '.[] | select(.troubles != [])'

WAITING is how many calls wait for an answer, and OLDEST how long the oldest of them has; REFUSED are calls that could not have
been answered in time, EXPIRED messages that were dropped because their callers had gone. What is empty is 0; kre version nodes
tells more.

With -o json it is a list: for each runtime an object of runtime, versions (those that run or that something is wrong with),
entrypoints and troubles (version and node), each as the API has it.`
}

// refreshEvery is how often a live table is brought up to date.
const refreshEvery = 2 * time.Second

// Run prints the table, once or until ctx ends, which is no error.
func (c *Command) Run(ctx context.Context, con *console.Console) error {
	e, err := c.Flags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	if c.Once || c.Structured() || !con.OutTerminal() {
		all, err := read(ctx, e, c.Runtime)
		if err != nil {
			return err
		}
		if c.Structured() {
			return c.write(con, all)
		}
		for _, line := range lines(con.Printer(), e, all) {
			con.Printer().Line("%s", line)
		}
		return nil
	}
	return c.live(ctx, e, con)
}

// live draws the table again and again.
func (c *Command) live(ctx context.Context, e *remote.Engine, con *console.Console) error {
	f := frame{con: con}
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		all, err := read(ctx, e, c.Runtime)
		switch {
		case ctx.Err() != nil:
			return nil
		case remote.Away(err):
			first, _, _ := strings.Cut(err.Error(), "\n")
			f.draw([]string{con.Printer().Paint(look.Red, first)})
		case err != nil:
			return err
		default:
			f.draw(lines(con.Printer(), e, all))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// frame is what was drawn last.
type frame struct {
	con    *console.Console
	height int
}

// draw replaces what was drawn last. What does not fit on the screen is counted.
func (f *frame) draw(all []string) {
	_, height := f.con.Size()
	if height > 2 && len(all) >= height { //nolint:mnd // a line for the cursor and one for the count
		rest := len(all) - (height - 2) //nolint:mnd // the same
		all = append(all[:height-2:height-2], fmt.Sprintf("and %s; kre status --once shows all", look.Count(rest, "line")))
	}
	var b strings.Builder
	if f.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", f.height)
	}
	b.WriteString("\x1b[?7l") // what is too long is cut, so that a line is a line
	for _, line := range all {
		b.WriteString("\r\x1b[K" + line + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h")
	f.height = len(all)
	fmt.Fprint(f.con.Out, b.String()) //nolint:errcheck // nobody is left to be told
}

// write is the table for programs.
func (c *Command) write(con *console.Console, all []place) error {
	var b strings.Builder
	b.WriteByte('[')
	for i, one := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := one.encode(&b); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return c.JSON(con.Out, []byte(b.String()))
}

// lines is the table for people.
func lines(p look.Printer, e *remote.Engine, all []place) []string {
	if len(all) == 0 {
		return []string{"The engine at " + e.GRPC + " has no runtime. kre runtime create NAME makes one."}
	}
	runtimes := output.NewTable(p, "RUNTIME", "STATE", "PUBLISHED", "ADDRESS", "WHY")
	versions := output.NewTable(p, "RUNTIME", "VERSION", "STATE", "WAITING", "OLDEST", "REFUSED", "EXPIRED", "WHY").Right(3, 4, 5, 6)
	troubles := output.NewTable(p, "RUNTIME", "VERSION", "NODE", "STATE", "RESTARTS", "WHY").Right(4)
	shown, wrong := 0, 0
	for _, one := range all {
		name := output.Plain("%s", remote.Last(one.runtime.GetName()))
		runtimes.Row(name, output.RuntimeState(one.runtime), output.Plain("%s", remote.Last(one.runtime.GetPublishedVersion())),
			output.Plain("%s", one.runtime.GetHttpAddress()), output.Plain("%s", one.runtime.GetStateReason()))
		for _, v := range one.versions {
			shown++
			versions.Row(name, output.Plain("%s", remote.Last(v.GetName())), output.VersionState(v.Version),
				output.Number(v.entrypoint.GetWaiting()), output.Waited(v.entrypoint.GetOldest()), output.Number(v.entrypoint.GetRefused()),
				output.Number(v.expired), output.Plain("%s", v.GetStateReason()))
		}
		for _, t := range one.troubles {
			wrong++
			troubles.Row(name, output.Plain("%s", remote.Last(t.version)), output.Plain("%s", t.node.GetName()), output.NodeState(t.node.GetState()),
				output.Plain("%d", restarts(t.node)), output.Plain("%s", why(t.node)))
		}
	}
	text := runtimes.Lines()
	if shown > 0 {
		text = append(append(text, ""), versions.Lines()...)
	}
	if wrong > 0 {
		text = append(append(text, ""), troubles.Lines()...)
	}
	return text
}

func restarts(node *adminv1.Node) (n int32) {
	for _, replica := range node.GetReplicas() {
		n += replica.GetRestarts()
	}
	return n
}

// why is what is wrong with a node.
func why(node *adminv1.Node) string {
	words := append([]string{}, node.GetWarnings()...)
	if reason := node.GetReason(); reason != "" {
		words = append(words, reason)
	}
	if line := node.GetLastLogLine(); line != "" {
		words = append(words, "it said last: "+line)
	}
	return strings.Join(words, "; ")
}
