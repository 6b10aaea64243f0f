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
	versions []seen // which run, or with which something is wrong
	troubles []node // which somebody should look at
}

// seen is a version and what is to be seen of its nodes.
type seen struct {
	*adminv1.Version
	entrypoint *adminv1.Node // nil: it does not run
	expired    int64         // messages of all nodes
}

// node is a node of a version.
type node struct {
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
		one := seen{Version: v}
		if v.GetRunning() {
			nodes, err := nodesOf(ctx, e, v)
			if err != nil {
				return err
			}
			one.look(nodes)
			p.suspect(v, nodes)
		}
		p.versions = append(p.versions, one)
	}
	return nil
}

// nodesOf asks about the nodes of a version; of one that has gone meanwhile there are none.
func nodesOf(ctx context.Context, e *remote.Engine, v *adminv1.Version) ([]*adminv1.Node, error) {
	found, err := remote.Ask(ctx, e, "look at the nodes of "+remote.Last(v.GetName()), e.Versions.ListNodes,
		&adminv1.ListNodesRequest{Parent: v.GetName()})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return found.GetNodes(), err
}

// look takes from the nodes what is shown of the version.
func (s *seen) look(nodes []*adminv1.Node) {
	for _, node := range nodes {
		s.expired += node.GetExpired()
		if node.GetWorkflow() == "" {
			s.entrypoint = node
		}
	}
}

// suspect takes notice of nodes that somebody should look at.
func (p *place) suspect(v *adminv1.Version, nodes []*adminv1.Node) {
	for _, each := range nodes {
		if each.GetState() != adminv1.Node_READY || len(each.GetWarnings()) > 0 {
			p.troubles = append(p.troubles, node{v.GetName(), each})
		}
	}
}

// encode is the place as JSON.
func (p *place) encode(b *strings.Builder) error {
	runtime, err := output.Encode(p.runtime)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, `{"runtime":%s,"versions":[`, runtime)
	for i, v := range p.versions {
		content, err := output.Encode(v.Version)
		if err != nil {
			return err
		}
		comma(b, i)
		b.Write(content)
	}
	b.WriteString(`],"entrypoints":[`)
	if err := encodeNodes(b, p.entrypoints()); err != nil {
		return err
	}
	b.WriteString(`],"troubles":[`)
	if err := encodeNodes(b, p.troubles); err != nil {
		return err
	}
	b.WriteString("]}")
	return nil
}

// entrypoints are those of the versions that run.
func (p *place) entrypoints() (all []node) {
	for _, v := range p.versions {
		if v.entrypoint != nil {
			all = append(all, node{v.GetName(), v.entrypoint})
		}
	}
	return all
}

func encodeNodes(b *strings.Builder, all []node) error {
	for i, one := range all {
		content, err := output.Encode(one.node)
		if err != nil {
			return err
		}
		comma(b, i)
		fmt.Fprintf(b, `{"version":%q,"node":%s}`, one.version, content)
	}
	return nil
}

func comma(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}
