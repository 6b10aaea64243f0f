// Package pack is `kre pack`: a project becomes a .krt. What is made for the package (executables, generated code,
// wheels) goes into the archive beside the project's files; in the project itself only kre's own folder and
// requirements.lock are written.
package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/krt/archive"
)

// Command is the command line.
type Command struct {
	Project  string `arg:"" optional:"" default:"." help:"Folder of the project."`
	Output   string `short:"o" placeholder:"FILE" type:"path" help:"File to write. Default: <version>.krt."`
	NoVendor bool   `help:"Leave out the wheels of Python nodes: they start with what the SDK itself needs."`
	Platform string `placeholder:"OS/ARCH" help:"Platform to pack for; only this machine's for now."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `Examples:
  kre pack                       the project in this folder
  kre pack demo -o demo.krt      into this file

Never packed: version control, .env, virtual environments, keys, caches, and what .krtignore
lists (in the syntax of .gitignore). What was left out is printed.`
}

// Run packs the project and prints what is in the package and what was left out.
func (c *Command) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdout, os.Stderr)
}

func (c *Command) run(ctx context.Context, stdout, stderr *os.File) error {
	if here := runtime.GOOS + "/" + runtime.GOARCH; c.Platform != "" && c.Platform != here {
		return fmt.Errorf("--platform %s: packing for another platform than this machine's, %s, cannot be done yet", c.Platform, here)
	}
	p := look.Printer{Out: stdout, Color: screen.WantsColor(stdout)}
	packed, output, err := To(ctx, Options{Project: c.Project, Output: c.Output, NoVendor: c.NoVendor, Notes: p, Progress: stderr})
	if err != nil {
		return err
	}
	report(p, output, packed)
	return nil
}

// Options say what to pack, and where to.
type Options struct {
	Project  string       // folder
	Output   string       // file; empty: <version>.krt
	NoVendor bool         // leave out the wheels of Python nodes
	Notes    look.Printer // gets complaints and what is being done
	Progress *os.File     // shows how much is packed, if it is a terminal
}

// To packs a project, and returns the name of the file. Nothing is written when the project is not valid.
func To(ctx context.Context, o Options) (_ *archive.Packed, output string, err error) {
	subject, err := look.Open(ctx, o.Project)
	if err != nil {
		return nil, "", err
	}
	if subject.Project == "" {
		return nil, "", fmt.Errorf("%s is packed already: name the folder of a project", o.Project)
	}
	o.Notes.Problems(subject.Problems)
	if complaints := subject.Problems.Complaints(); len(complaints) > 0 {
		return nil, "", fmt.Errorf("%s: %s, nothing is packed", subject.Name, look.Count(len(complaints), "complaint"))
	}
	output = o.Output
	if output == "" {
		output = subject.Manifest.Version + ".krt"
	}
	work, err := os.MkdirTemp("", "kre-pack-*")
	if err != nil {
		return nil, "", fmt.Errorf("pack: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	s := staging{project: subject.Project, work: work, manifest: subject.Manifest, say: func(text string) {
		o.Notes.Line("%s", o.Notes.Paint(look.Dim, text))
	}}
	if err := s.stage(ctx, o.NoVendor); err != nil {
		return nil, "", err
	}
	progress, stop := progressBar(o.Progress)
	defer stop()
	packed, err := archive.Pack(ctx, subject.Project, output, archive.PackOptions{Extra: s.extra, Progress: progress})
	return packed, output, err
}

// report prints what has been packed.
func report(p look.Printer, output string, packed *archive.Packed) {
	p.Line("%s %s: %s, %s, %s unpacked", p.Paint(look.Green, "✓"), shorten(output), size(packed.Bytes),
		look.Count(len(packed.Files), "file"), size(packed.Size))
	p.Line("digest sha256:%s", packed.Digest)
	writeLeftOut(p, packed.LeftOut)
}

// shorten names a file as seen from here, where that is shorter.
func shorten(name string) string {
	here, err := os.Getwd()
	if err != nil {
		return name
	}
	below, err := filepath.Rel(here, name)
	if err != nil || len(below) >= len(name) {
		return name
	}
	return below
}
