package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/remote"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// tail follows what is logged.
type tail struct {
	engine  *remote.Engine
	con     *console.Console
	request *adminv1.TailLogsRequest
	since   time.Time
	show    func(*adminv1.LogEntry) error

	first, last time.Time       // of the lines that were shown
	shown       map[string]seen // lines that may come again, because a stream is taken up again
	owed        map[string]int  // those of them that this stream repeats
}

// seen is how often a line was shown: a program may write the same twice.
type seen struct {
	at    time.Time
	times int
}

// takenUp is how far back a stream that is taken up again is compared with what was shown: lines of several nodes do not
// arrive in the order of their times.
const takenUp = time.Minute

// run ends with ctx, which is no error. A stream that breaks is taken up again, without repeating a line.
func (t *tail) run(ctx context.Context) error {
	t.shown = make(map[string]seen)
	err := remote.Until(ctx, t.con.Tell, func() (bool, error) {
		err := t.follow(ctx)
		if len(t.shown) > 0 {
			t.request.Last, t.owed = maxTail, make(map[string]int)
			for key, one := range t.shown {
				t.owed[key] = one.times
			}
		}
		return false, err
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was to end
	}
	return err
}

// follow shows the lines of one stream.
func (t *tail) follow(ctx context.Context) error {
	tried := "follow the logs of " + remote.VersionOf(t.request.GetParent())
	stream, err := t.engine.Versions.TailLogs(ctx, t.request)
	if err != nil {
		return t.engine.Explain(tried, err)
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return t.engine.Explain(tried, err)
		}
		if err := t.line(answer.GetEntry()); err != nil {
			return err
		}
	}
}

func (t *tail) line(entry *adminv1.LogEntry) error {
	at := entry.GetTime().AsTime()
	key := fmt.Sprint(entry.GetTime().GetSeconds(), entry.GetTime().GetNanos(), entry.GetWorkflow(), entry.GetNode(), entry.GetReplica(),
		entry.GetRequestId(), entry.GetMessage())
	if at.Before(t.since) || t.owed != nil && (at.Before(t.first) || at.Before(t.last.Add(-takenUp))) {
		return nil
	}
	if t.owed[key] > 0 {
		t.owed[key]--
		return nil
	}
	t.shown[key] = seen{at, t.shown[key].times + 1}
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
	t.forget()
	return t.show(entry)
}

// forget drops what will not come again.
func (t *tail) forget() {
	const many = 4 * maxTail
	if len(t.shown) < many {
		return
	}
	for key, one := range t.shown {
		if one.at.Before(t.last.Add(-takenUp)) {
			delete(t.shown, key)
		}
	}
}
