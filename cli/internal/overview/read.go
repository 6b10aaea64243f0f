package overview

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// place is a runtime and what is to be seen of it.
type place struct {
	runtime  *adminv1.Runtime
	versions []*adminv1.Version // which run, or with which something is wrong
	troubles []trouble
}

// trouble is a node that somebody should look at.
type trouble struct {
	version string
	node    *adminv1.Node
}

// atOnce is how many runtimes are asked about at the same time.
const atOnce = 8

// read asks about all runtimes, or one.
func read(ctx context.Context, e *remote.Engine, only string) ([]place, error) {
	runtimes, err := asked(ctx, e, only)
	if err != nil {
		return nil, err
	}
	all := make([]place, len(runtimes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, runtime := range runtimes {
		all[i].runtime = runtime
		group.Go(func() error { return all[i].read(ctx, e) })
	}
	return all, group.Wait()
}

func asked(ctx context.Context, e *remote.Engine, only string) ([]*adminv1.Runtime, error) {
	if only == "" {
		return e.AllRuntimes(ctx, "")
	}
	found, err := remote.Ask(ctx, e, "look at runtime "+only, e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: remote.RuntimeName(only)})
	return []*adminv1.Runtime{found}, err
}

// read asks about the versions. What goes away meanwhile is left out.
func (p *place) read(ctx context.Context, e *remote.Engine) error {
	versions, err := e.AllVersions(ctx, p.runtime.GetName(), "")
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.GetState() == adminv1.Version_STOPPED {
			continue
		}
		p.versions = append(p.versions, v)
		if !v.GetRunning() {
			continue
		}
		found, err := remote.Ask(ctx, e, "look at the nodes of "+remote.Last(v.GetName()), e.Versions.ListNodes,
			&adminv1.ListNodesRequest{Parent: v.GetName()})
		if status.Code(err) == codes.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		for _, node := range found.GetNodes() {
			if node.GetState() != adminv1.Node_READY || len(node.GetWarnings()) > 0 {
				p.troubles = append(p.troubles, trouble{v.GetName(), node})
			}
		}
	}
	return nil
}

// encode is the place as JSON.
func (p *place) encode(b *strings.Builder) error {
	runtime, err := output.Encode(p.runtime)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, `{"runtime":%s,"versions":[`, runtime)
	for i, v := range p.versions {
		content, err := output.Encode(v)
		if err != nil {
			return err
		}
		comma(b, i)
		b.Write(content)
	}
	b.WriteString(`],"troubles":[`)
	for i, t := range p.troubles {
		content, err := output.Encode(t.node)
		if err != nil {
			return err
		}
		comma(b, i)
		fmt.Fprintf(b, `{"version":%q,"node":%s}`, t.version, content)
	}
	b.WriteString("]}")
	return nil
}

func comma(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}
