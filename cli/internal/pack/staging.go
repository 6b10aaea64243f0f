package pack

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/generate"
	"github.com/konstellation-io/kre/cli/internal/gobuild"
	"github.com/konstellation-io/kre/host/pyenv"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
)

// staging makes what goes into a package besides the project's own files.
type staging struct {
	project  string
	work     string // folder for what is made and thrown away afterwards
	manifest *manifest.Manifest
	say      func(text string)
	extra    []archive.Source
}

func (s *staging) stage(ctx context.Context, noVendor bool) error {
	if err := s.complete(); err != nil {
		return err
	}
	if err := s.generate(ctx); err != nil {
		return err
	}
	if err := s.build(ctx); err != nil {
		return err
	}
	if noVendor {
		return nil
	}
	return s.vendor(ctx)
}

// generate brings the code of the protos up to date and adds what lies in kre's own folder, which is not packed otherwise.
func (s *staging) generate(ctx context.Context) error {
	result, err := generate.Project(ctx, s.project, generate.Options{})
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		s.say("warning: " + warning)
	}
	for _, file := range result.Files {
		if strings.HasPrefix(file, ".kre/") {
			if err := s.add(file, filepath.Join(s.project, filepath.FromSlash(file)), false); err != nil {
				return err
			}
		}
	}
	return nil
}

// build compiles the nodes that are there as Go source.
func (s *staging) build(ctx context.Context) error {
	for _, src := range s.sources(func(n manifest.Node) bool { return !n.Python() }) {
		source, err := gobuild.Source(s.project, src)
		if err != nil {
			return err
		}
		if source == "" {
			continue
		}
		s.say("build " + src + " from " + source)
		output := filepath.Join(s.work, filepath.FromSlash(src))
		err = gobuild.Build(ctx, gobuild.Options{Project: s.project, Src: src, Output: output, Release: true})
		if err != nil {
			return err
		}
		if err := s.add(src, output, true); err != nil {
			return err
		}
	}
	return nil
}

// vendor adds the wheels of the Python nodes whose image does not bring them.
func (s *staging) vendor(ctx context.Context) error {
	srcs := s.sources(func(n manifest.Node) bool { return n.Python() && n.Dependencies != "image" })
	files, err := pyenv.Vendor(ctx, pyenv.VendorOptions{Project: s.project, Srcs: srcs, Say: s.say})
	if err != nil {
		return err
	}
	for _, f := range files {
		s.extra = append(s.extra, archive.Source{Path: f.Path, Name: f.Name, Size: f.Size})
	}
	return nil
}

// sources answers the src of the nodes that are wanted, each once.
func (s *staging) sources(wanted func(manifest.Node) bool) []string {
	var srcs []string
	for _, w := range s.manifest.Workflows {
		for _, n := range w.Nodes {
			if src := path.Clean(n.Src); wanted(n) && !slices.Contains(srcs, src) {
				srcs = append(srcs, src)
			}
		}
	}
	return srcs
}

func (s *staging) add(in, name string, executable bool) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("pack %s: %w", in, err)
	}
	s.extra = append(s.extra, archive.Source{Path: in, Name: name, Executable: executable, Size: info.Size()})
	return nil
}

// complete refuses a project whose package would lack what its manifest names because that is left out.
func (s *staging) complete() error {
	sources, left, err := archive.Scan(s.project)
	if err != nil {
		return err
	}
	wanted := s.sources(func(manifest.Node) bool { return true })
	if s.manifest.Proto != "" {
		wanted = append(wanted, path.Clean(s.manifest.Proto))
	}
	for _, p := range wanted {
		if slices.ContainsFunc(sources, func(source archive.Source) bool { return source.Path == p }) {
			continue
		}
		if built, err := gobuild.Source(s.project, p); err != nil || built != "" {
			continue // made for the package, or told about when it is
		}
		for _, l := range left {
			if l.Path == p || strings.HasSuffix(l.Path, "/") && strings.HasPrefix(p, l.Path) {
				return fmt.Errorf("%s is needed, but left out: %s", p, l.Reason)
			}
		}
	}
	return nil
}
