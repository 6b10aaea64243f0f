package versions

import (
	"context"
	"fmt"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// change is what the commands that change a version's state have in common.
type change struct {
	Named
	output.Format
	remote.Why
}

// waiting says whether to wait.
type waiting struct {
	NoWait bool `help:"Do not wait until it is so."`
}

// Start is `kre version start`.
type Start struct {
	change
	waiting
}

// Help is shown below the flags.
func (*Start) Help() string {
	return `Examples:
  kre version start prices-v2 --comment "let us see"
  kre version start prices-v2 --no-wait && kre version watch prices-v2

Every configuration value has to be set. If a node does not become ready, its reason and last lines are printed; the engine
goes on trying.`
}

// Run starts a version.
func (s *Start) Run(ctx context.Context, con *console.Console) error {
	return s.run(ctx, con, "start", func(e *remote.Engine, name string) (*adminv1.Version, error) {
		return remote.Ask(ctx, e, "start "+remote.Last(name), e.Versions.StartVersion, &adminv1.StartVersionRequest{Name: name, Comment: s.Comment})
	}, s.NoWait, goal{
		is:   "runs",
		done: func(v *adminv1.Version) bool { return isIn(v, adminv1.Version_STARTED, adminv1.Version_PUBLISHED) },
		lost: func(v *adminv1.Version) bool { return !v.GetRunning() },
	})
}

// Stop is `kre version stop`.
type Stop struct {
	change
	waiting
	Discard bool `help:"Drop the messages that are still stored, in place of going on with them at the next start."`
}

// Help is shown below the flags.
func (*Stop) Help() string {
	return `Examples:
  kre version stop prices-v1
  kre version stop prices-v1 --discard    without what is still to be done

It ends in order: no new calls, waiting callers get their answers, streams run empty as far as the time to drain allows.
A published version has to be unpublished first.`
}

// Run stops a version.
func (s *Stop) Run(ctx context.Context, con *console.Console) error {
	return s.run(ctx, con, "stop", func(e *remote.Engine, name string) (*adminv1.Version, error) {
		return remote.Ask(ctx, e, "stop "+remote.Last(name), e.Versions.StopVersion,
			&adminv1.StopVersionRequest{Name: name, Comment: s.Comment, Discard: s.Discard})
	}, s.NoWait, goal{
		is:   "has stopped",
		done: func(v *adminv1.Version) bool { return isIn(v, adminv1.Version_STOPPED) },
		lost: func(v *adminv1.Version) bool { return v.GetRunning() },
	})
}

// Publish is `kre version publish`.
type Publish struct {
	change
	waiting
}

// Help is shown below the flags.
func (*Publish) Help() string {
	return `Examples:
  kre version publish prices-v2 --comment "cheaper by the dozen"

The version that was published before runs on, so that kre version rollback needs a moment only.`
}

// Run publishes a version.
func (p *Publish) Run(ctx context.Context, con *console.Console) error {
	return p.publish(ctx, con, p.NoWait)
}

// publish makes the runtime's address lead to the version.
func (c *change) publish(ctx context.Context, con *console.Console, noWait bool) error {
	return c.run(ctx, con, "publish", func(e *remote.Engine, name string) (*adminv1.Version, error) {
		return remote.Ask(ctx, e, "publish "+remote.Last(name), e.Versions.PublishVersion, &adminv1.PublishVersionRequest{Name: name, Comment: c.Comment})
	}, noWait, goal{
		is:   "is published",
		done: func(v *adminv1.Version) bool { return isIn(v, adminv1.Version_PUBLISHED) },
		lost: func(v *adminv1.Version) bool { return !v.GetPublished() },
	})
}

// Unpublish is `kre version unpublish`.
type Unpublish struct {
	change
}

// Help is shown below the flags.
func (*Unpublish) Help() string {
	return `Examples:
  kre version unpublish prices-v2 --comment "it is wrong about emeralds"

The version runs on: kre version stop ends it.`
}

// Run unpublishes a version.
func (u *Unpublish) Run(ctx context.Context, con *console.Console) error {
	return u.run(ctx, con, "unpublish", func(e *remote.Engine, name string) (*adminv1.Version, error) {
		return remote.Ask(ctx, e, "unpublish "+remote.Last(name), e.Versions.UnpublishVersion,
			&adminv1.UnpublishVersionRequest{Name: name, Comment: u.Comment})
	}, false, goal{
		is:   "is not published any more",
		done: func(v *adminv1.Version) bool { return !v.GetPublished() },
		lost: func(*adminv1.Version) bool { return false },
	})
}

// run asks for a change, and waits until it is so.
func (c *change) run(ctx context.Context, con *console.Console, verb string, ask func(*remote.Engine, string) (*adminv1.Version, error), noWait bool, g goal) error {
	e, name, err := c.open()
	if err != nil {
		return err
	}
	defer e.Close()
	v, err := ask(e, name)
	if err != nil {
		return err
	}
	if !noWait {
		w := waiter{engine: e, con: con, name: name, verb: verb, goal: g}
		if v, err = w.wait(ctx, v); err != nil {
			return err
		}
	}
	if c.Structured() {
		return c.Message(con.Out, v)
	}
	p := con.Printer()
	if noWait && !g.done(v) {
		p.Line("%s is %s; kre version watch %s shows how it goes on", remote.Last(name), v.GetState(), remote.Last(name))
		return nil
	}
	p.Line("%s %s %s", p.Paint(look.Green, "✓"), remote.Last(name), g.is)
	if g.is == "is published" {
		return address(ctx, e, con, remote.RuntimeOf(name))
	}
	return nil
}

// address prints where a runtime's published version answers.
func address(ctx context.Context, e *remote.Engine, con *console.Console, runtime string) error {
	found, err := remote.Ask(ctx, e, "look at runtime "+remote.Last(runtime), e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: runtime})
	if err != nil {
		return err
	}
	output.Pairs(con.Printer(), "gRPC", found.GetGrpcAddress(), "HTTP", found.GetHttpAddress())
	return nil
}

// Rollback is `kre version rollback`.
type Rollback struct {
	remote.RuntimeFlags
	output.Format
	remote.Why
	waiting
}

// Help is shown below the flags.
func (*Rollback) Help() string {
	return `Examples:
  kre version rollback --comment "too chatty"

Which version it is, the list of activities tells: kre runtime activity --action version.publish. It has to run still; if
it does not, kre version start first.`
}

// Run publishes what was published before.
func (r *Rollback) Run(ctx context.Context, con *console.Console) error {
	e, runtime, err := r.RuntimeFlags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	before, err := publishedBefore(ctx, e, runtime)
	if err != nil {
		return err
	}
	con.Tell("%s was published before.", remote.Last(before))
	named := Named{RuntimeFlags: r.RuntimeFlags, Name: before}
	back := change{Named: named, Format: r.Format, Why: r.Why}
	return back.publish(ctx, con, r.NoWait)
}

// publishedBefore is the resource name of the version that was published before the current one, or last, if none is
// published; versions that are gone do not count.
func publishedBefore(ctx context.Context, e *remote.Engine, runtime string) (string, error) {
	found, err := remote.Ask(ctx, e, "look at runtime "+remote.Last(runtime), e.Runtimes.GetRuntime, &adminv1.GetRuntimeRequest{Name: runtime})
	if err != nil {
		return "", err
	}
	versions, err := e.AllVersions(ctx, runtime, "")
	if err != nil {
		return "", err
	}
	there := make(map[string]bool, len(versions))
	for _, v := range versions {
		there[v.GetName()] = true
	}
	before := ""
	const likely = 20
	err = e.Activities(ctx, runtime, `action = "version.publish"`, likely, func(one *adminv1.Activity) bool {
		if one.GetVersion() != found.GetPublishedVersion() && there[one.GetVersion()] {
			before = one.GetVersion()
		}
		return before == ""
	})
	if err != nil {
		return "", err
	}
	if before == "" {
		return "", fmt.Errorf("there is nothing to go back to: no other version of %s that is still there was published", remote.Last(runtime))
	}
	return before, nil
}

// Delete is `kre version delete`.
type Delete struct {
	Named
	output.Format
	remote.Why
}

// Help is shown below the flags.
func (*Delete) Help() string {
	return `Examples:
  kre version delete prices-v1 --comment "nobody asks for it"

Its package, configuration, stored messages and logs are removed with it. It has to be stopped.`
}

// Run removes a version.
func (d *Delete) Run(ctx context.Context, con *console.Console) error {
	e, name, err := d.open()
	if err != nil {
		return err
	}
	defer e.Close()
	_, err = remote.Ask(ctx, e, "delete "+remote.Last(name), e.Versions.DeleteVersion, &adminv1.DeleteVersionRequest{Name: name, Comment: d.Comment})
	if err != nil {
		return err
	}
	if d.Structured() {
		return d.Gone(con.Out, name, true)
	}
	p := con.Printer()
	p.Line("%s version %s is gone", p.Paint(look.Green, "✓"), remote.Last(name))
	return nil
}
