package versions

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Watch is `kre version watch`.
type Watch struct {
	remote.RuntimeFlags
	output.Format
	Name  string `arg:"" optional:"" predictor:"version" help:"Name of the version. Default: all of the runtime."`
	Until string `enum:"started,published,stopped," default:"" placeholder:"STATE" help:"End when the version is started, published or stopped; fail when it is in ERROR."`
}

// Help is shown below the flags.
func (*Watch) Help() string {
	return `Examples:
  kre version watch                                what changes in the runtime, until Ctrl-C
  kre version watch prices-v2 --until started
  kre version watch -o json | jq -r '.version.state'

With -o json each change is a line as the API streams it, with -o yaml a document; it begins with a snapshot.`
}

// Run prints changes until ctx ends, which is no error, or the version is what it is waited for to be.
func (w *Watch) Run(ctx context.Context, con *console.Console) error {
	if w.Until != "" && w.Name == "" {
		return fmt.Errorf("--until %s: of which version? Name it", w.Until)
	}
	e, runtime, err := w.RuntimeFlags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	seen := watched{Watch: w, con: con, engine: e, states: make(map[string]string)}
	if w.Name != "" {
		seen.only = remote.VersionName(runtime, w.Name)
		_, err = get(ctx, e, seen.only)
	} else {
		_, err = remote.Ask(ctx, e, "watch runtime "+remote.Last(runtime), e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: runtime})
	}
	if err != nil { // later, an engine that is away is waited for
		return err
	}
	err = e.Watch(ctx, runtime, con.Tell, func(event *adminv1.WatchRuntimeResponse) (bool, error) {
		return seen.event(ctx, event)
	})
	if ctx.Err() != nil && w.Until == "" {
		return nil
	}
	return err
}

// watched is what was shown.
type watched struct {
	*Watch
	con    *console.Console
	engine *remote.Engine
	only   string // resource name; empty: all
	states map[string]string
}

// event shows a change, and tells whether it was the last one.
func (w *watched) event(ctx context.Context, event *adminv1.WatchRuntimeResponse) (over bool, err error) {
	var versions []*adminv1.Version
	gone := event.GetDeletedVersion()
	concerns := w.only == "" || gone == w.only
	for _, v := range append(event.GetSnapshot().GetVersions(), event.GetVersion()) {
		if v != nil && (w.only == "" || v.GetName() == w.only) {
			versions = append(versions, v)
			concerns = true
		}
	}
	if w.Structured() && concerns {
		if err := w.Next(w.con.Out, event); err != nil {
			return false, err
		}
	} else if !w.Structured() {
		w.lines(event, versions)
	}
	if event.GetDeleted() || gone != "" && gone == w.only {
		if w.Until != "" {
			return true, fmt.Errorf("%s was removed", remote.Last(w.only))
		}
		return true, nil
	}
	if w.Until == "" {
		return false, nil
	}
	for _, v := range versions {
		if isIn(v, adminv1.Version_ERROR) {
			failed := waiter{engine: w.engine, con: w.con, name: v.GetName()}
			return true, failed.failed(ctx, v, remote.Last(v.GetName())+" is not "+w.Until)
		}
		if reached(w.Until, v) {
			return true, nil
		}
	}
	return false, nil
}

func reached(until string, v *adminv1.Version) bool {
	switch until {
	case "started":
		return isIn(v, adminv1.Version_STARTED, adminv1.Version_PUBLISHED)
	case "published":
		return isIn(v, adminv1.Version_PUBLISHED)
	default:
		return isIn(v, adminv1.Version_STOPPED)
	}
}

// lines shows a change for people.
func (w *watched) lines(event *adminv1.WatchRuntimeResponse, versions []*adminv1.Version) {
	p := w.con.Printer()
	line := func(name string, state output.Cell, why string) {
		text := strings.TrimRight(fmt.Sprintf("%s  %s  %s  %s", p.Paint(look.Dim, time.Now().Format("15:04:05")), terminal.Clean(name),
			p.Paint(state.Color, state.Text), terminal.Clean(why)), " ")
		p.Line("%s", text)
	}
	for _, v := range versions {
		state := output.VersionState(v)
		shown := state.Text + v.GetStateReason()
		if w.states[v.GetName()] != shown {
			w.states[v.GetName()] = shown
			line(remote.Last(v.GetName()), state, v.GetStateReason())
		}
	}
	if r := event.GetRuntime(); r != nil && w.only == "" {
		shown := r.GetState().String() + r.GetStateReason() + r.GetPublishedVersion()
		if w.states[r.GetName()] != shown {
			w.states[r.GetName()] = shown
			published := "publishes nothing"
			if name := r.GetPublishedVersion(); name != "" {
				published = "publishes " + remote.Last(name)
			}
			line("runtime "+remote.Last(r.GetName()), output.RuntimeState(r), strings.TrimSpace(published+" "+r.GetStateReason()))
		}
	}
	if gone := event.GetDeletedVersion(); gone != "" && (w.only == "" || w.only == gone) {
		line(remote.Last(gone), output.Plain("%s", "is gone"), "")
	}
	if event.GetDeleted() {
		line("the runtime", output.Plain("%s", "is gone"), "")
	}
}
