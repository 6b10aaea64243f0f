// Package logs is `kre logs`: what the nodes and the entrypoint of a version have written, and write.
package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Command is `kre logs`.
type Command struct {
	remote.RuntimeFlags
	output.Format
	Version  string   `arg:"" optional:"" predictor:"version" help:"Name of the version. Default: the published one, else the only one that runs."`
	Follow   bool     `short:"f" help:"Go on with what is written from now on, until Ctrl-C."`
	Node     []string `placeholder:"NAME" help:"Only of this node, or entrypoint; may be repeated."`
	Workflow string   `placeholder:"NAME" help:"Only of this workflow."`
	Level    string   `enum:"debug,info,warn,error" default:"debug" help:"This level and graver ones: debug, info, warn or error."`
	Since    string   `placeholder:"TIME" help:"Not before this: 10m, 2h, or 2026-01-31T12:00:00Z."`
	Text     string   `placeholder:"TEXT" help:"Only lines that contain this, whatever the case."`
	Request  string   `placeholder:"ID" help:"Only of this request. Not with -f."`
	Lines    int      `short:"n" default:"100" placeholder:"N" help:"At most so many of the last lines."`
}

// Help is shown below the flags.
func (*Command) Help() string {
	return `Examples:
  kre logs                                 the last lines of the published version
  kre logs prices-v2 -f --level warn       what goes wrong, as it does
  kre logs --node estimate --since 10m -n 1000
  kre logs --request 01JABCDEF -o json | jq -r .message

With -o json each line is an object of its own, with -o yaml a document.`
}

// maxTail is how many lines an engine begins a tail with at most.
const maxTail = 1000

// Run prints lines, the oldest first.
func (c *Command) Run(ctx context.Context, con *console.Console) error {
	switch {
	case c.Lines < 0 || c.Lines == 0 && !c.Follow:
		return fmt.Errorf("-n %d: want at least 1", c.Lines)
	case c.Follow && c.Request != "":
		return errors.New("--request is about what was, -f about what comes: leave one of them out")
	case c.Follow && c.Lines > maxTail:
		return fmt.Errorf("-n %d: with -f at most %d", c.Lines, maxTail)
	}
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	e, runtime, err := c.RuntimeFlags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	version, err := c.version(ctx, e, runtime)
	if err != nil {
		return err
	}
	show := c.show(con)
	if c.Follow {
		_, err := remote.Ask(ctx, e, "follow the logs of "+remote.Last(version), e.Versions.GetVersion, &adminv1.GetVersionRequest{Name: version})
		if err != nil {
			return err
		}
		t := tail{engine: e, con: con, since: since, show: show, request: &adminv1.TailLogsRequest{
			Parent: version, Last: int32(c.Lines), MinLevel: c.level(), Nodes: c.Node, Workflow: c.Workflow, Text: c.Text, //nolint:gosec // it is bounded
		}}
		return t.run(ctx)
	}
	request := &adminv1.SearchLogsRequest{
		Parent: version, MinLevel: c.level(), Nodes: c.Node, Workflow: c.Workflow, Text: c.Text, RequestId: c.Request,
	}
	if !since.IsZero() {
		request.StartTime = timestamppb.New(since)
	}
	found, err := Search(ctx, e, request, c.Lines)
	if err != nil {
		return err
	}
	for _, entry := range found {
		if err := show(entry); err != nil {
			return err
		}
	}
	if len(found) == 0 && !c.Structured() {
		con.Tell("%s has no such lines.", remote.Last(version))
	}
	return nil
}

// Search answers with the last lines that are asked for, the oldest first.
func Search(ctx context.Context, e *remote.Engine, request *adminv1.SearchLogsRequest, lines int) ([]*adminv1.LogEntry, error) {
	const maxPage = 1000
	var found []*adminv1.LogEntry
	err := remote.Pages(func(token string) (string, error) {
		request.PageToken, request.PageSize = token, int32(min(lines, maxPage)) //nolint:gosec // it is bounded
		page, err := remote.Ask(ctx, e, "read the logs of "+remote.VersionOf(request.GetParent()), e.Versions.SearchLogs, request)
		if err != nil {
			return "", err
		}
		found = append(found, page.GetEntries()...)
		if len(found) >= lines {
			return "", nil
		}
		return page.GetNextPageToken(), nil
	})
	found = found[:min(len(found), lines)]
	slices.Reverse(found)
	return found, err
}

// show is how an entry is written.
func (c *Command) show(con *console.Console) func(*adminv1.LogEntry) error {
	if c.Structured() {
		return func(entry *adminv1.LogEntry) error { return c.Next(con.Out, entry) }
	}
	p := newPrinter(con)
	return func(entry *adminv1.LogEntry) error {
		p.print(entry)
		return nil
	}
}

func (c *Command) level() adminv1.LogEntry_Level {
	return adminv1.LogEntry_Level(adminv1.LogEntry_Level_value[strings.ToUpper(c.Level)])
}

// version is the resource name of the one that is meant.
func (c *Command) version(ctx context.Context, e *remote.Engine, runtime string) (string, error) {
	if c.Version != "" {
		return remote.VersionName(runtime, c.Version), nil
	}
	found, err := remote.Ask(ctx, e, "look at runtime "+remote.Last(runtime), e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: runtime})
	if err != nil {
		return "", err
	}
	if published := found.GetPublishedVersion(); published != "" {
		return published, nil
	}
	running, err := e.AllVersions(ctx, runtime, "running = true")
	if err != nil {
		return "", err
	}
	if len(running) == 1 {
		return running[0].GetName(), nil
	}
	names := make([]string, 0, len(running))
	for _, version := range running {
		names = append(names, remote.Last(version.GetName()))
	}
	if len(names) == 0 {
		return "", errors.New("of which version? none is published and none runs; kre version list shows them")
	}
	return "", fmt.Errorf("of which version? none is published, and there run %s", strings.Join(names, ", "))
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("--since %q: want how long ago (10m, 2h) or a time (2026-01-31T12:00:00Z)", text)
}
