package versions

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// List is `kre version list`.
type List struct {
	remote.RuntimeFlags
	output.Format
	Filter string `placeholder:"TERMS" help:"Which: terms joined by AND over name, running, published and digest."`
}

// Help is shown below the flags.
func (*List) Help() string {
	return `Examples:
  kre version list
  kre version list --filter 'running = true AND name = "prices-*"'
  kre version list -o json | jq -r '.[] | select(.state == "ERROR") | .name'`
}

// Run prints the versions.
func (l *List) Run(ctx context.Context, con *console.Console) error {
	e, runtime, err := l.RuntimeFlags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	all, err := e.AllVersions(ctx, runtime, l.Filter)
	if err != nil {
		return err
	}
	if l.Structured() {
		return output.Messages(l.Format, con.Out, all)
	}
	if len(all) == 0 {
		con.Tell("There is none. kre version create FILE.krt makes one.")
		return nil
	}
	table := output.NewTable(con.Printer(), "VERSION", "STATE", "AGE", "SIZE", "DIGEST", "WHY").Right(3)
	for _, v := range all {
		table.Row(output.Plain("%s", remote.Last(v.GetName())), output.VersionState(v), output.Plain("%s", output.Age(v.GetCreateTime())),
			output.Plain("%s", output.Size(v.GetSizeBytes())), output.Plain("%s", output.Digest(v.GetDigest())), output.Plain("%s", v.GetStateReason()))
	}
	table.Print()
	return nil
}

// Get is `kre version get`.
type Get struct {
	Named
	output.Format
}

// Help is shown below the flags.
func (*Get) Help() string {
	return `Examples:
  kre version get prices-v2
  kre version get prices-v2 -o json | jq -r .state`
}

// Run prints a version.
func (g *Get) Run(ctx context.Context, con *console.Console) error {
	e, name, err := g.open()
	if err != nil {
		return err
	}
	defer e.Close()
	v, err := get(ctx, e, name)
	if err != nil {
		return err
	}
	if g.Structured() {
		return g.Message(con.Out, v)
	}
	show(con.Printer(), v)
	return nil
}

// show prints a version.
func show(p look.Printer, v *adminv1.Version) {
	state := output.VersionState(v)
	p.Line("%s %s", p.Paint(look.Bold, remote.Last(v.GetName())), p.Paint(state.Color, state.Text))
	stored := ""
	if n := v.GetStoredMessages(); n > 0 {
		stored = strconv.FormatInt(n, 10) + "; they go on at the next start"
	}
	display := v.GetDisplayName()
	if display == remote.Last(v.GetName()) {
		display = ""
	}
	output.Pairs(p, "why", v.GetStateReason(), "written", display, "description", v.GetDescription(),
		"missing", strings.Join(v.GetMissingConfig(), ", "), "stored messages", stored,
		"gRPC inside", v.GetGrpcAddress(), "HTTP inside", v.GetHttpAddress(),
		"created", output.Clock(v.GetCreateTime())+" by "+v.GetCreator(), "size", output.Size(v.GetSizeBytes()), "digest", v.GetDigest())
	for _, workflow := range v.GetWorkflows() {
		p.Line("")
		p.Line("%s answers %s", p.Paint(look.Bold, terminal.Clean(workflow.GetName())), terminal.Clean(workflow.GetRpc()))
		table := output.NewTable(p, "  NODE", "SUBSCRIBES TO", "REPLICAS", "SRC")
		for _, node := range workflow.GetNodes() {
			name := "  " + node.GetName()
			if node.GetName() == workflow.GetExitpoint() {
				name += " (answers)"
			}
			table.Row(output.Plain("%s", name), output.Plain("%s", strings.Join(node.GetSubscriptions(), ", ")),
				output.Plain("%d", node.GetReplicas()), output.Plain("%s", node.GetSrc()))
		}
		table.Print()
	}
	for _, warning := range v.GetWarnings() {
		p.Line("%s %s", p.Paint(look.Yellow, "warning:"), terminal.Clean(warning))
	}
}

// Docs is `kre version docs`.
type Docs struct {
	Named
	output.Format
}

// Help is shown below the flags.
func (*Docs) Help() string {
	return `Examples:
  kre version docs prices-v2 | less

It is docs/README.md of the package, in Markdown.`
}

// Run prints the documentation.
func (d *Docs) Run(ctx context.Context, con *console.Console) error {
	e, name, err := d.open()
	if err != nil {
		return err
	}
	defer e.Close()
	docs, err := remote.Ask(ctx, e, "read what "+remote.Last(name)+" says about itself", e.Versions.GetDocumentation,
		&adminv1.GetDocumentationRequest{Name: name + "/documentation"})
	if err != nil {
		return err
	}
	if d.Structured() {
		return d.Message(con.Out, docs)
	}
	var clean strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(docs.GetMarkdown(), "\n"), "\n") {
		clean.WriteString(terminal.Clean(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", "    ")) + "\n")
	}
	_, err = fmt.Fprint(con.Out, clean.String())
	return err
}
