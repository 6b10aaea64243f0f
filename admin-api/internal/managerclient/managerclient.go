// Package managerclient is k8s-manager as the engine sees it: kre.manager.v1 over gRPC. It translates, and bounds how long
// an answer may take; it remembers nothing.
package managerclient

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

const (
	// callPatience is how long one call may take.
	callPatience = 15 * time.Second
	// silencePatience is how long a watch may be silent: there is a sign of life every 5 s.
	silencePatience = 20 * time.Second
	// service is the name of what does not answer, in errors.
	service = "k8s-manager"
)

// Client is a k8s-manager.
type Client struct {
	api     managerv1.LifecycleServiceClient
	silence time.Duration
}

var _ engine.Manager = (*Client)(nil)

// New returns the manager that conn leads to.
func New(conn grpc.ClientConnInterface) *Client {
	return &Client{api: managerv1.NewLifecycleServiceClient(conn), silence: silencePatience}
}

// ApplyRuntime tells what should be of a runtime.
func (c *Client) ApplyRuntime(ctx context.Context, wish engine.RuntimeWish) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	_, err := c.api.ApplyRuntime(ctx, &managerv1.ApplyRuntimeRequest{
		Runtime: wish.Runtime, Revision: wish.Revision, PublishedVersion: wish.Published,
	})
	return told(err)
}

// ApplyVersion tells what should be of a version.
func (c *Client) ApplyVersion(ctx context.Context, wish engine.VersionWish) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	_, err := c.api.ApplyVersion(ctx, &managerv1.ApplyVersionRequest{
		Runtime: wish.Runtime, Version: wish.Version, Revision: wish.Revision, Digest: wish.Digest,
		Running: wish.Running, Discard: wish.Discard, Variables: wish.Variables, Files: wish.Files,
	})
	return told(err)
}

// DeleteRuntime begins to remove a runtime.
func (c *Client) DeleteRuntime(ctx context.Context, runtime string) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	_, err := c.api.DeleteRuntime(ctx, &managerv1.DeleteRuntimeRequest{Runtime: runtime})
	return told(err)
}

// DeleteVersion removes what is left of a version.
func (c *Client) DeleteVersion(ctx context.Context, runtime, version string) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	_, err := c.api.DeleteVersion(ctx, &managerv1.DeleteVersionRequest{Runtime: runtime, Version: version})
	return told(err)
}

// ObserveRuntime looks at a runtime now.
func (c *Client) ObserveRuntime(ctx context.Context, runtime string) (engine.ObservedRuntime, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	answer, err := c.api.GetRuntime(ctx, &managerv1.GetRuntimeRequest{Runtime: runtime})
	if err != nil {
		return engine.ObservedRuntime{}, told(err)
	}
	return observed(answer.GetStatus()), nil
}

// errSilent is why a watch is given up of which nothing is heard.
var errSilent = errors.New("no sign of life")

// WatchRuntimes tells what is, and then what changes, until ctx or the stream ends or the stream falls silent.
func (c *Client) WatchRuntimes(ctx context.Context, tell func(engine.Observation)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	stream, err := c.api.Watch(ctx, &managerv1.WatchRequest{})
	if err != nil {
		return told(err)
	}
	for {
		event, err := stream.Recv()
		switch {
		case errors.Is(context.Cause(ctx), errSilent):
			return unavailable(errSilent)
		case errors.Is(err, io.EOF):
			return unavailable(err)
		case err != nil:
			return told(err)
		}
		alarm.Stop() // what the observer does with it is not the manager's silence
		switch event := event.GetEvent().(type) {
		case *managerv1.WatchResponse_Runtime:
			runtime := observed(event.Runtime)
			tell(engine.Observation{Runtime: &runtime})
		case *managerv1.WatchResponse_DeletedRuntime:
			tell(engine.Observation{Deleted: event.DeletedRuntime})
		case *managerv1.WatchResponse_Synced:
			tell(engine.Observation{Synced: true})
		default:
			tell(engine.Observation{Alive: true})
		}
		alarm.Reset(c.silence)
	}
}

// told is the error of a call as the engine knows errors.
func told(err error) error {
	err = rpc.Fault(err)
	if err != nil && fault.KindOf(err) == fault.Unavailable {
		return unavailable(err)
	}
	return err
}

func unavailable(cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "%s does not answer now; the same may be asked again in a moment", service).
		For(engine.ReasonUnavailable, "service", service)
}
