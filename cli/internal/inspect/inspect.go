// Package inspect is `kre inspect`: what a version consists of, its summary, its graph as a tree and its files.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Command is the command line.
type Command struct {
	Target string `arg:"" optional:"" default:"." placeholder:"FILE.krt|PROJECT" help:"A packed version, or the folder of a project."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text for people, json for programs."`
	All    bool   `help:"List every file, not only the number and size of those in a crowded folder."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  kre inspect demo-v1.krt             graph, files, digest
  kre inspect --all                   the project in this folder, file by file
  kre inspect demo-v1.krt -o json | jq -r .digest`
}

// Run prints what the version consists of. A version that would be refused is shown without its graph, and the error
// says so.
func (c *Command) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdout, screen.WantsColor(os.Stdout))
}

// contents are the files of a version: of a package all that it holds, of a project those that would be packed as they
// are.
type contents struct {
	Digest  string            `json:"digest,omitempty"` // of a package
	Size    int64             `json:"size"`             // bytes of all files together
	Files   []file            `json:"files"`
	LeftOut []archive.LeftOut `json:"leftOut,omitempty"` // of a project
}

type file struct {
	Path       string `json:"path"`
	Executable bool   `json:"executable,omitempty"`
	Size       int64  `json:"size"`             // bytes
	SHA256     string `json:"sha256,omitempty"` // in a package
}

func (c *Command) run(ctx context.Context, out io.Writer, color bool) error {
	subject, err := look.Open(ctx, c.Target)
	if err != nil {
		return err
	}
	held, err := contentsOf(subject)
	if err != nil {
		return err
	}
	refused := subject.Refusal()
	if c.Output == "json" {
		return errors.Join(writeJSON(out, subject, held), refused)
	}
	p := printer{look.Printer{Out: out, Color: color}}
	p.Problems(subject.Problems)
	if len(subject.Problems) > 0 && (refused == nil || held.Digest != "") {
		p.Line("")
	}
	if refused == nil {
		p.summary(subject.Manifest)
	}
	if held.Digest != "" {
		p.field("digest", "sha256:"+held.Digest)
	}
	if refused == nil {
		for _, w := range subject.Manifest.Workflows {
			p.workflow(w)
		}
	}
	p.files(held, c.All)
	return refused
}

func contentsOf(subject *look.Subject) (contents, error) {
	var held contents
	if subject.Package != nil {
		held.Digest, held.Size = subject.Package.Digest, subject.Package.Size
		for _, f := range subject.Package.Files {
			held.Files = append(held.Files, file(f))
		}
		return held, nil
	}
	sources, left, err := archive.Scan(subject.Project)
	if err != nil {
		return held, err
	}
	for _, s := range sources {
		held.Files = append(held.Files, file{Path: s.Path, Size: s.Size, Executable: s.Executable})
		held.Size += s.Size
	}
	held.LeftOut = left
	return held, nil
}

func writeJSON(out io.Writer, subject *look.Subject, held contents) error {
	return terminal.WriteJSON(out, struct {
		Name     string             `json:"name"` // of the manifest's file
		Manifest *manifest.Manifest `json:"manifest"`
		Problems manifest.Problems  `json:"problems"`
		contents
	}{subject.Name, subject.Manifest, slices.Concat(manifest.Problems{}, subject.Problems), held})
}

type printer struct{ look.Printer }

// field writes a line of the summary.
func (p printer) field(name, text string) {
	p.Line("%s %s", p.Paint(look.Dim, fmt.Sprintf("%-10s", name)), text)
}

func (p printer) summary(m *manifest.Manifest) {
	title := p.Paint(look.Bold, m.Version)
	if m.ID != m.Version {
		title += p.Paint(look.Dim, " as ") + m.ID
	}
	if m.Description != "" {
		title += "  " + strings.Join(strings.Fields(m.Description), " ")
	}
	p.Line("%s", title)
	p.field("format", string(m.Format))
	if m.Proto == "" {
		p.field("proto", "none: requests and answers are JSON")
	} else {
		p.field("proto", terminal.Clean(m.Proto))
	}
	if len(m.Config.Variables) > 0 {
		p.field("variables", strings.Join(m.Config.Variables, ", "))
	}
	if len(m.Config.Files) > 0 {
		p.field("files", strings.Join(m.Config.Files, ", "))
	}
}
