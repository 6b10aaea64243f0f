package up

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/contexts"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// tell shows that a part is ready.
func (e *engine) tell(name, where string, took time.Duration) {
	_, port, err := net.SplitHostPort(where)
	if err != nil {
		port = where
	}
	e.screen.Say(name, "ready  %-7s :%s", seconds(took), port)
}

// announce tells other programs and the person that the engine is ready.
func (e *engine) announce(ctx context.Context, took time.Duration) error {
	state := State{PID: os.Getpid(), HTTP: "http://" + loopback(e.ports.HTTP), GRPC: loopback(e.ports.GRPC)}
	current, err := e.writeContext(ctx, state)
	if err != nil {
		return err
	}
	if err := e.data.writeState(state); err != nil {
		return err
	}
	e.screen.Say("", "ready in %s", seconds(took))
	e.screen.Say("HTTP", "%s   its documentation: %s/docs/", state.HTTP, state.HTTP)
	e.screen.Say("gRPC", "%s", state.GRPC)
	e.screen.Say("data", "%s", shorten(e.data.dir))
	e.screen.Say("token", "%s   kre has it in its context %s", shorten(e.secrets.AdminTokenFile()), e.context)
	kre := "kre"
	if current != e.context {
		e.screen.Warn("", "the current context is %s: kre context use %s for this engine", current, e.context)
	}
	runtimes := e.runtimes(ctx, state)
	for _, r := range runtimes {
		e.screen.Say(shortName(r.GetName()), "%s", published(r))
	}
	if len(runtimes) == 0 {
		e.screen.Say("next", "%s runtime create demo   (in another terminal)", kre)
	} else {
		e.screen.Say("next", "%s status   (in another terminal)", kre)
	}
	e.screen.Say("", "Ctrl-C stops everything")
	return nil
}

// writeContext makes the other commands know the engine, and returns the name of the context that they use.
func (e *engine) writeContext(ctx context.Context, s State) (current string, err error) {
	err = contexts.Change(ctx, func(known *contexts.Known) error {
		known.Put(contexts.Context{Name: e.context, Address: s.GRPC, Token: e.secrets.AdminToken, Data: e.data.dir})
		if known.Current == "" || e.contextNamed {
			known.Current = e.context
		}
		current = known.Current
		return nil
	})
	return current, err
}

const (
	shownRuntimes = 10
	askWithin     = 3 * time.Second
)

// runtimes are the first ones there are; where nobody answers there are none to show.
func (e *engine) runtimes(ctx context.Context, s State) []*adminv1.Runtime {
	conn, err := rpc.Dial(s.GRPC, rpc.ClientOptions{Token: e.secrets.AdminToken})
	if err != nil {
		return nil
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	page, err := adminv1.NewRuntimeServiceClient(conn).ListRuntimes(ctx, &adminv1.ListRuntimesRequest{PageSize: shownRuntimes})
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			e.screen.Warn("admin-api", "does not tell its runtimes: %v", err)
		}
		return nil
	}
	return page.GetRuntimes()
}

func shortName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// published is what of a runtime is published, and where.
func published(r *adminv1.Runtime) string {
	if r.GetPublishedVersion() == "" {
		return "nothing is published"
	}
	return fmt.Sprintf("%s published   gRPC %s   HTTP %s", shortName(r.GetPublishedVersion()), r.GetGrpcAddress(), r.GetHttpAddress())
}
