// Package versions is `kre version`: the versions of a runtime, from the package to the published one and back.
package versions

import (
	"context"

	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Command is `kre version`.
type Command struct {
	Create    Create    `cmd:"" help:"Make a version of a package, or of a project, which is packed first."`
	List      List      `cmd:"" help:"Show the versions of a runtime, the newest first."`
	Get       Get       `cmd:"" help:"Show a version."`
	Delete    Delete    `cmd:"" help:"Remove a stopped version."`
	Config    Config    `cmd:"" help:"What a version is told: variables and files."`
	Start     Start     `cmd:"" help:"Make a version run, reachable inside only, and wait until it does."`
	Stop      Stop      `cmd:"" help:"End a version, in order, and wait until it has."`
	Publish   Publish   `cmd:"" help:"Make the runtime's address lead to a started version, and wait until it does."`
	Unpublish Unpublish `cmd:"" help:"Make the runtime's address lead nowhere; the version runs on."`
	Rollback  Rollback  `cmd:"" help:"Publish the version that was published before the current one."`
	Watch     Watch     `cmd:"" help:"Show what changes, as it does."`
	Nodes     Nodes     `cmd:"" help:"Show the nodes of a version: state, restarts, what waits, why one failed."`
	Docs      Docs      `cmd:"" help:"Print what a version says about itself."`
	Call      Call      `cmd:"" help:"Call an rpc of a running version, published or not, with JSON."`
}

// Named is a version that is meant, by the name that its manifest gives it.
type Named struct {
	remote.RuntimeFlags
	Name string `arg:"" predictor:"version" help:"Name of the version."`
}

// open is the engine and the resource name of the version.
func (n Named) open() (*remote.Engine, string, error) {
	e, runtime, err := n.RuntimeFlags.Open()
	if err != nil {
		return nil, "", err
	}
	return e, remote.VersionName(runtime, n.Name), nil
}

// get asks for a version by its resource name.
func get(ctx context.Context, e *remote.Engine, name string) (*adminv1.Version, error) {
	return remote.Ask(ctx, e, "look at version "+remote.Last(name), e.Versions.GetVersion, &adminv1.GetVersionRequest{Name: name})
}

// nodes asks for the nodes of a version.
func nodes(ctx context.Context, e *remote.Engine, name string) ([]*adminv1.Node, error) {
	found, err := remote.Ask(ctx, e, "look at the nodes of "+remote.Last(name), e.Versions.ListNodes, &adminv1.ListNodesRequest{Parent: name})
	return found.GetNodes(), err
}
