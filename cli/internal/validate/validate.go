// Package validate is `kre validate`: everything that is wrong with a manifest and its package, at once.
package validate

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Command is the command line.
type Command struct {
	Target string `arg:"" optional:"" default:"." placeholder:"PROJECT|MANIFEST|FILE.krt" help:"Folder of a project, its manifest, or a packed version."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text for people, json for programs."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  kre validate                        the project in this folder
  kre validate demo-v1.krt            a packed version
  kre validate demo -o json | jq -r '.complaints[].message'`
}

// Run prints what is wrong. Its error is the summary, where there is something to be complained about.
func (c *Command) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdout, screen.WantsColor(os.Stdout))
}

// result is what is printed as JSON.
type result struct {
	Manifest   string            `json:"manifest,omitempty"` // name of its file
	Version    string            `json:"version,omitempty"`
	Valid      bool              `json:"valid"`
	Complaints manifest.Problems `json:"complaints"`
	Warnings   manifest.Problems `json:"warnings"`
}

func (c *Command) run(ctx context.Context, out io.Writer, color bool) error {
	subject, err := look.Open(ctx, c.Target)
	if c.Output == "json" {
		return c.json(out, subject, err)
	}
	if err != nil {
		return err
	}
	p := look.Printer{Out: out, Color: color}
	p.Problems(subject.Problems)
	if err := subject.Refusal(); err != nil {
		return err
	}
	m := subject.Manifest
	nodes := 0
	for _, w := range m.Workflows {
		nodes += len(w.Nodes)
	}
	p.Line("%s %s: version %s, format %s, %s, %s%s", p.Paint(look.Green, "✓"), subject.Title(), m.Version, m.Format,
		look.Count(len(m.Workflows), "workflow"), look.Count(nodes, "node"), look.And(len(subject.Problems.Warnings()), "warning"))
	return nil
}

func (c *Command) json(out io.Writer, subject *look.Subject, err error) error {
	r := result{Complaints: manifest.Problems{}, Warnings: manifest.Problems{}}
	if err != nil {
		message := strings.TrimPrefix(err.Error(), c.Target+": ")
		r.Complaints = append(r.Complaints, manifest.Problem{Path: c.Target, Message: message})
	} else {
		r.Manifest = subject.Name
		r.Complaints = append(r.Complaints, subject.Problems.Complaints()...)
		r.Warnings = append(r.Warnings, subject.Problems.Warnings()...)
		r.Valid = len(r.Complaints) == 0
		if subject.Manifest != nil {
			r.Version = subject.Manifest.Version
		}
		err = subject.Refusal()
	}
	return errors.Join(terminal.WriteJSON(out, r), err)
}
