// Package gobuild compiles a project's Go nodes and gives their module the SDK that kre carries.
package gobuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Options say what is compiled.
type Options struct {
	Project string // root of the project
	Src     string // the node's src, e.g. bin/storer
	Output  string // path of the executable to write
	Release bool   // for a package: stripped, the same bytes wherever it is built
	Race    bool   // with the race detector, which needs a C compiler
}

// Source returns the folder below project, slash-separated, that holds the Go program of a node whose src is
// `bin/<x>`: `cmd/<x>` or `src/<x>`, dashes and underscores alike, holding a package main. It is "" if there is none, or if
// src is there as a file already.
func Source(project, src string) (string, error) {
	_, err := os.Stat(filepath.Join(project, filepath.FromSlash(src)))
	if err == nil {
		return "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for %s: %w", src, err)
	}
	dir, _ := manifest.GoSource(os.DirFS(project), src)
	return dir, nil
}

// Build compiles the program that [Source] finds, statically linked, for this machine. The compiler's complaints are in
// the error.
func Build(ctx context.Context, opts Options) error {
	source, err := Source(opts.Project, opts.Src)
	if err != nil {
		return err
	}
	if source == "" {
		return fmt.Errorf("build %s: there is no Go program to build it from", opts.Src)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("%s is built from %s, but there is no Go toolchain: install Go, or put the executable at %s",
			opts.Src, source, opts.Src)
	}
	module, err := moduleOf(opts.Project, source)
	if err != nil {
		return err
	}
	if err := prepare(opts.Project, module, ""); err != nil {
		return err
	}
	output, err := filepath.Abs(opts.Output)
	if err != nil {
		return fmt.Errorf("build %s: %w", opts.Src, err)
	}
	dir := filepath.Join(opts.Project, filepath.FromSlash(module))
	below, err := filepath.Rel(filepath.FromSlash(module), filepath.FromSlash(source))
	if err != nil {
		return fmt.Errorf("build %s: %w", opts.Src, err)
	}
	args := append(flags(opts), "-o", output, "./"+filepath.ToSlash(below))
	cmd := proc.Bind(exec.CommandContext(ctx, tool, args...))
	cmd.Dir = dir
	cgo := "0"
	if opts.Race {
		cgo = "1"
	}
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED="+cgo, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	complaints, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("build %s: %w", opts.Src, ctx.Err())
	case err != nil && len(complaints) > 0:
		return fmt.Errorf("build %s from %s:\n%s", opts.Src, source, strings.TrimSpace(string(complaints)))
	case err != nil:
		return fmt.Errorf("build %s from %s: %w", opts.Src, source, err)
	}
	return nil
}

func flags(opts Options) []string {
	args := []string{"build", "-trimpath", "-buildvcs=false"}
	if opts.Race {
		args = append(args, "-race")
	}
	if opts.Release {
		args = append(args, "-ldflags=-s -w -buildid=")
	}
	return args
}

// moduleOf answers the folder, slash-separated below project, of the module that dir belongs to.
func moduleOf(project, dir string) (string, error) {
	for folder := dir; ; folder = path.Dir(folder) {
		_, err := os.Stat(filepath.Join(project, filepath.FromSlash(folder), "go.mod"))
		if err == nil {
			return folder, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("look for the module of %s: %w", dir, err)
		}
		if folder == "." {
			return "", fmt.Errorf("%s is a Go program, but the project has no go.mod: make one with `go mod init NAME`", dir)
		}
	}
}
