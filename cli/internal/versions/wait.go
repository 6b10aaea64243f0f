package versions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/logs"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

func isIn(v *adminv1.Version, states ...adminv1.Version_State) bool {
	return slices.Contains(states, v.GetState())
}

// goal is what a version is waited for to be.
type goal struct {
	is   string // in words
	done func(*adminv1.Version) bool
	lost func(*adminv1.Version) bool // somebody wants something else of it meanwhile
}

// waiter waits until a version is what it was asked to be, and shows how it goes on.
type waiter struct {
	engine *remote.Engine
	con    *console.Console
	name   string
	verb   string
	goal   goal
}

// wait returns the version when it has reached the goal. v is what is known of it.
func (w *waiter) wait(ctx context.Context, v *adminv1.Version) (*adminv1.Version, error) {
	show := newProgress(w.con, remote.Last(w.name))
	defer show.end()
	err := remote.Until(ctx, show.tell, func() (done bool, err error) {
		if w.goal.done(v) {
			return true, nil
		}
		if v, err = get(ctx, w.engine, w.name); err != nil {
			return false, err
		}
		switch {
		case w.goal.lost(v):
			return false, fmt.Errorf("somebody else wants something else of %s: it is %s now; kre runtime activity tells who", remote.Last(w.name), v.GetState())
		case isIn(v, adminv1.Version_ERROR):
			show.end()
			return false, w.failed(ctx, v, "cannot "+w.verb+" "+remote.Last(w.name))
		case w.goal.done(v):
			return true, nil
		}
		all, err := nodes(ctx, w.engine, w.name)
		if err != nil {
			return false, err
		}
		show.now(v, all)
		return false, nil
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		show.tell("The engine goes on with it: kre version watch %s", remote.Last(w.name))
	}
	return v, err
}

// lastLines is how many lines of a failed node are shown.
const lastLines = 10

// failed is what did not succeed, and why, of a version that is in ERROR: each failed node with its reason and what it logged last.
func (w *waiter) failed(ctx context.Context, v *adminv1.Version, what string) error {
	version := remote.Last(w.name)
	lines := []string{what + ": " + terminal.Clean(v.GetStateReason())}
	all, err := nodes(ctx, w.engine, w.name)
	if err != nil {
		lines = append(lines, err.Error())
	}
	for _, node := range all {
		if node.GetState() != adminv1.Node_FAILED {
			continue
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", terminal.Clean(node.GetName()), terminal.Clean(node.GetReason())))
		for _, line := range w.lastWords(ctx, node) {
			lines = append(lines, "    "+line)
		}
	}
	if v.GetRunning() {
		lines = append(lines, fmt.Sprintf("The engine goes on trying. kre logs %s tells more; kre version stop %s gives it up.", version, version))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// lastWords are the last lines that a node has logged.
func (w *waiter) lastWords(ctx context.Context, node *adminv1.Node) []string {
	found, err := logs.Search(ctx, w.engine, &adminv1.SearchLogsRequest{
		Parent: w.name, Nodes: []string{node.GetName()}, Workflow: node.GetWorkflow(),
	}, lastLines)
	var lines []string
	for _, entry := range found {
		lines = append(lines, logs.Lines(entry)...)
	}
	if err != nil || len(lines) == 0 { // the logs may lag behind, or not be readable now
		if last := node.GetLastLogLine(); last != "" {
			return []string{terminal.Clean(last)}
		}
		return nil
	}
	lines = slices.Compact(lines) // each attempt may have said the same
	return lines[max(0, len(lines)-lastLines):]
}

// progress shows a version on its way: on a terminal as one line that changes, elsewhere as a line for each change.
type progress struct {
	con   *console.Console
	name  string
	since time.Time
	live  bool
	drawn bool
	nodes map[string]adminv1.Node_State
	state adminv1.Version_State
}

func newProgress(con *console.Console, name string) *progress {
	return &progress{con: con, name: name, since: time.Now(), live: con.ErrTerminal(), nodes: make(map[string]adminv1.Node_State)}
}

// erase takes the line away on which the cursor is.
const erase = "\r\x1b[K"

// now shows the version as it is.
func (p *progress) now(v *adminv1.Version, all []*adminv1.Node) {
	if !p.live {
		p.changes(v, all)
		return
	}
	ready := 0
	var rest []string
	for _, node := range all {
		if node.GetState() == adminv1.Node_READY {
			ready++
			continue
		}
		rest = append(rest, terminal.Clean(node.GetName())+" "+node.GetState().String())
	}
	text := fmt.Sprintf("%s %s %.1f s", p.name, v.GetState(), time.Since(p.since).Seconds())
	if len(all) > 0 {
		text += fmt.Sprintf(": %d of %d nodes ready", ready, len(all))
	}
	if len(rest) > 0 {
		text += "; " + strings.Join(rest, ", ")
	}
	if width, _ := p.con.Size(); width > 1 {
		if runes := []rune(text); len(runes) >= width {
			text = string(runes[:width-2]) + "…"
		}
	}
	fmt.Fprint(p.con.Err, erase+text) //nolint:errcheck // nobody is left to be told
	p.drawn = true
}

// changes tells what is other than before.
func (p *progress) changes(v *adminv1.Version, all []*adminv1.Node) {
	if v.GetState() != p.state {
		p.state = v.GetState()
		p.con.Tell("%s %s", p.name, p.state)
	}
	for _, node := range all {
		key := node.GetWorkflow() + "/" + node.GetName()
		before, known := p.nodes[key]
		p.nodes[key] = node.GetState()
		if known && before != node.GetState() || node.GetState() == adminv1.Node_FAILED && !known {
			line := fmt.Sprintf("  %s %s", terminal.Clean(node.GetName()), node.GetState())
			if reason := node.GetReason(); reason != "" {
				line += ": " + terminal.Clean(reason)
			}
			p.con.Tell("%s", line)
		}
	}
}

// tell writes a line beside the progress.
func (p *progress) tell(format string, args ...any) {
	p.end()
	p.con.Tell(format, args...)
}

// end takes the progress away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.con.Err, erase) //nolint:errcheck // nobody is left to be told
		p.drawn = false
	}
}
