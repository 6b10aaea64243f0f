package run

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/konstellation-io/kre/cli/internal/generate"
	"github.com/konstellation-io/kre/cli/internal/gobuild"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/host/pyenv"
)

// programs makes what runs the nodes: environments for Python, executables for Go.
type programs struct {
	source  source
	screen  *screen.Screen
	libexec string             // folder of the platform's programs
	race    bool               // of Go nodes, is looked for
	builds  singleflight.Group // nodes may share an executable

	mu        sync.Mutex
	byNode    map[string]launch.Program
	generated map[string]struct{} // files that are made of protos
}

func newPrograms(source source, screen *screen.Screen, libexec string, race bool) *programs {
	return &programs{
		source: source, screen: screen, libexec: libexec, race: race,
		byNode: make(map[string]launch.Program), generated: make(map[string]struct{}),
	}
}

// generate writes the code of the protos.
func (p *programs) generate(ctx context.Context, plan plan) error {
	options := generate.Options{Proto: plan.manifest.Proto}
	if p.source.packed {
		options.Language = generate.Python // Go programs are compiled
	}
	result, err := generate.Project(ctx, p.source.root, options)
	if err != nil {
		return fmt.Errorf("cannot generate the code of the protos: %w", err)
	}
	for _, warning := range result.Warnings {
		p.screen.Warn("", "%s", warning)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.generated)
	for _, file := range result.Files {
		p.generated[file] = struct{}{}
	}
	return nil
}

// isGenerated tells whether a file is made of protos, so that it is not an author who writes it.
func (p *programs) isGenerated(file string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.generated[file]
	return ok
}

// of is what make made last for a node.
func (p *programs) of(n node) (launch.Program, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.byNode[n.key]
	return one, ok
}

// make makes what runs a node. When that fails, what was made before stays; the error does not name the node.
func (p *programs) make(ctx context.Context, n node) error {
	one, err := p.build(ctx, n)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byNode[n.key] = one
	return nil
}

func (p *programs) build(ctx context.Context, n node) (launch.Program, error) {
	if n.Python() {
		return launch.Python(ctx, p.libexec, pyenv.Options{
			Root: p.source.root, Src: n.Src, Packed: p.source.packed,
			Say: func(text string) { p.screen.Say(n.key, "%s", text) },
		})
	}
	file := filepath.Join(p.source.root, filepath.FromSlash(n.Src))
	if n.source != "" {
		file = filepath.Join(p.source.root, ".kre", "bin", path.Base(n.Src))
		_, err, _ := p.builds.Do(n.Src, func() (any, error) {
			return nil, gobuild.Build(ctx, gobuild.Options{Project: p.source.root, Src: n.Src, Output: file, Race: p.race})
		})
		if err != nil {
			return launch.Program{}, err
		}
	}
	if n.Worker() {
		return launch.Worker(p.libexec, file)
	}
	return launch.Executable(file)
}
