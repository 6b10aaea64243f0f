// Package remote is the engine as the commands call it: which one and which runtime are meant, its services, and its
// refusals as a person reads them.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/krt/manifest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Flags say which engine is meant.
type Flags struct {
	Context string `placeholder:"NAME" env:"KRE_CONTEXT" predictor:"context" help:"Engine to talk to, by the name of its context. Default: the current one."`
}

// Why is what a person may say about a change.
type Why struct {
	Comment string `short:"m" placeholder:"TEXT" help:"Why, for the list of activities."`
}

// RuntimeFlags say which runtime of which engine is meant.
type RuntimeFlags struct {
	Flags
	Runtime string `placeholder:"NAME" env:"KRE_RUNTIME" predictor:"runtime" help:"Runtime that is meant. Default: the one chosen with kre runtime use."`
}

// Engine is one that can be called.
type Engine struct {
	cliconfig.Context
	Name     string // of the context
	Runtimes adminv1.RuntimeServiceClient
	Versions adminv1.VersionServiceClient

	conn *grpc.ClientConn
}

// Open is the engine that the flags mean. Nothing is called yet. The caller closes it.
func (f Flags) Open() (*Engine, error) {
	config, err := cliconfig.Load()
	if err != nil {
		return nil, err
	}
	name, chosen, err := f.Choose(config)
	if err != nil {
		return nil, err
	}
	return Dial(name, chosen)
}

// Choose is the context that the flags mean, and its name.
func (f Flags) Choose(config cliconfig.Config) (string, cliconfig.Context, error) {
	name := f.Context
	if name == "" {
		name = config.Current
	}
	if name == "" && len(config.Contexts) > 0 {
		return "", cliconfig.Context{}, fmt.Errorf("which engine? kre context use NAME chooses one of %s", contextNames(config))
	}
	if name == "" {
		return "", cliconfig.Context{}, fmt.Errorf("which engine? none is known here\n%s", Elsewhere)
	}
	chosen, ok := config.Contexts[name]
	if !ok {
		return "", cliconfig.Context{}, NoContext(config, name)
	}
	return name, chosen, nil
}

func contextNames(config cliconfig.Config) string {
	return strings.Join(slices.Sorted(maps.Keys(config.Contexts)), ", ")
}

// Elsewhere is what a person can do who has no engine.
const Elsewhere = "kre up runs the engine on this machine; kre login ADDRESS connects to another one."

// NoContext is the error for a name that is no context's.
func NoContext(config cliconfig.Config, name string) error {
	if len(config.Contexts) == 0 {
		return fmt.Errorf("there is no context %s\n%s", name, Elsewhere)
	}
	return fmt.Errorf("there is no context %s; there is %s", name, contextNames(config))
}

// Dial is the engine of a context of that name. The caller closes it.
func Dial(name string, c cliconfig.Context) (*Engine, error) {
	conn, err := rpc.Dial(cmp.Or(c.Socket, c.GRPC), rpc.ClientOptions{Token: c.Token})
	if err != nil {
		return nil, err
	}
	return &Engine{
		Context: c, Name: name, conn: conn,
		Runtimes: adminv1.NewRuntimeServiceClient(conn), Versions: adminv1.NewVersionServiceClient(conn),
	}, nil
}

// Close ends the connection.
func (e *Engine) Close() { _ = e.conn.Close() } // it only fails when it is closed already

// Open is the engine and the runtime that the flags mean, the runtime by its resource name.
func (f RuntimeFlags) Open() (e *Engine, runtime string, err error) {
	if e, err = f.Flags.Open(); err != nil {
		return nil, "", err
	}
	name := cmp.Or(f.Runtime, os.Getenv("KRE_RUNTIME"), e.Runtime)
	if name == "" {
		e.Close()
		return nil, "", errors.New("which runtime? kre runtime use NAME chooses one for good, --runtime NAME for once; kre runtime list shows them")
	}
	return e, RuntimeName(name), nil
}

// RuntimeName is the resource name of a runtime.
func RuntimeName(runtime string) string {
	return "runtimes/" + strings.TrimPrefix(runtime, "runtimes/")
}

// VersionName is the resource name of a version of a runtime, which is given by its resource name. The version may be
// written as the manifest writes it.
func VersionName(runtime, version string) string {
	if strings.HasPrefix(version, "runtimes/") {
		return version
	}
	return runtime + "/versions/" + manifest.ID(version)
}

// Last is the last part of a resource name.
func Last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// callTimeout bounds a call that the engine answers at once.
const callTimeout = 30 * time.Second

// Ask makes a unary call. Its error says what was tried, e.g. "start v1", and is a *Failure.
func Ask[Q, A any](ctx context.Context, e *Engine, tried string, call func(context.Context, Q, ...grpc.CallOption) (A, error), request Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := call(ctx, request)
	return answer, e.Explain(tried, err)
}

// maxPage is the largest page that an engine answers with.
const maxPage = 500

// Pages asks for page after page: ask gets the token of the next one, empty for the first, and returns that of the one
// after, empty for none.
func Pages(ask func(token string) (next string, err error)) error {
	for token := ""; ; {
		next, err := ask(token)
		if err != nil || next == "" {
			return err
		}
		token = next
	}
}

// AllVersions are the versions of a runtime, the newest first.
func (e *Engine) AllVersions(ctx context.Context, runtime, filter string) ([]*adminv1.Version, error) {
	var all []*adminv1.Version
	err := Pages(func(token string) (string, error) {
		page, err := Ask(ctx, e, "list the versions of "+Last(runtime), e.Versions.ListVersions,
			&adminv1.ListVersionsRequest{Parent: runtime, PageSize: maxPage, PageToken: token, Filter: filter})
		all = append(all, page.GetVersions()...)
		return page.GetNextPageToken(), err
	})
	return all, err
}

// AllRuntimes are the runtimes, by name.
func (e *Engine) AllRuntimes(ctx context.Context, filter string) ([]*adminv1.Runtime, error) {
	var all []*adminv1.Runtime
	err := Pages(func(token string) (string, error) {
		page, err := Ask(ctx, e, "list the runtimes", e.Runtimes.ListRuntimes, &adminv1.ListRuntimesRequest{PageSize: maxPage, PageToken: token, Filter: filter})
		all = append(all, page.GetRuntimes()...)
		return page.GetNextPageToken(), err
	})
	return all, err
}

// Activities calls visit with those of a runtime, the newest first, until it has seen enough. A page holds as many as are
// likely wanted.
func (e *Engine) Activities(ctx context.Context, runtime, filter string, wanted int, visit func(*adminv1.Activity) (more bool)) error {
	size := int32(min(max(wanted, 1), maxPage)) //nolint:gosec // it is bounded
	return Pages(func(token string) (string, error) {
		page, err := Ask(ctx, e, "list the activities of "+Last(runtime), e.Runtimes.ListActivities,
			&adminv1.ListActivitiesRequest{Parent: runtime, PageSize: size, PageToken: token, Filter: filter})
		if err != nil {
			return "", err
		}
		for _, one := range page.GetActivities() {
			if !visit(one) {
				return "", nil
			}
		}
		return page.GetNextPageToken(), nil
	})
}

// VersionOf is the version's part of the resource name of a version or of something of it.
func VersionOf(name string) string {
	parts := strings.Split(name, "/")
	const version = 3 // runtimes, {runtime}, versions, {version}
	if len(parts) <= version {
		return name
	}
	return parts[version]
}

// RuntimeOf is the resource name of the runtime of something.
func RuntimeOf(name string) string {
	parts := strings.SplitN(name, "/", 3) //nolint:mnd // runtimes, {runtime}, the rest
	if len(parts) < 2 {                   //nolint:mnd // the same
		return name
	}
	return parts[0] + "/" + parts[1]
}
