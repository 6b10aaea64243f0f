package processdir_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
	"github.com/konstellation-io/kre/runtime-api/internal/processdir"
)

// unreliable is a keeper whose answers are lost, before or after it has done what it was asked.
type unreliable struct {
	*broker.Logs
	mu   sync.Mutex
	rand *rand.Rand
}

var errLost = errors.New("the connection is lost")

func (u *unreliable) lost() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rand.IntN(4) == 0
}

func (u *unreliable) Append(ctx context.Context, records []logbook.Record) (uint64, error) {
	if u.lost() {
		return 0, errLost
	}
	last, err := u.Logs.Append(ctx, records)
	if err == nil && u.lost() {
		return 0, errLost
	}
	return last, err
}

func (u *unreliable) KeepPositions(ctx context.Context, version string, positions logbook.Positions) error {
	if u.lost() {
		return errLost
	}
	return u.Logs.KeepPositions(ctx, version, positions)
}

func (u *unreliable) Last(ctx context.Context, version, process string) (logbook.Position, error) {
	if u.lost() {
		return logbook.Position{}, errLost
	}
	return u.Logs.Last(ctx, version, process)
}

// processes that print at the same time, in pieces that do not end with lines.
func (f *fixture) chatter(t *testing.T, version string, count int, processes ...string) (wait func()) {
	t.Helper()
	var all sync.WaitGroup
	for i, process := range processes {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(i), 1))
			text := strings.Join(numbered(process, 0, count), "\n") + "\n"
			for len(text) > 0 {
				n := min(len(text), 1+dice.IntN(200))
				f.print(t, version, process, text[:n])
				text = text[n:]
			}
		})
	}
	return all.Wait
}

func TestEveryLineIsStoredOnceThoughAnswersAreLostAndFollowersEnd(t *testing.T) {
	f := open(t)
	const count = 3_000
	f.plan(t, "prices-v1", planned{Process: "estimate.etl-0", Workflow: "Estimate", Node: "Etl"})
	wait := f.chatter(t, "prices-v1", count, "estimate.etl-0", "estimate.model-0", "entrypoint-0")
	keeper := &unreliable{Logs: f.logs, rand: rand.New(rand.NewPCG(1, 2))}
	for seen := 0; seen < 3*count; {
		_, end := f.follow(t, keeper)
		target := min(seen+1_000, 3*count)
		require.Eventually(t, func() bool { seen = len(f.stored(t, "prices-v1")); return seen >= target }, patience, tick)
		end()
	}
	wait()
	lines := f.lines(t, "prices-v1")
	require.Len(t, lines, 3)
	for process, got := range lines {
		requireNumbered(t, process, count, got)
	}
}

func TestTwoFollowersAtATimeStoreEveryLineOnce(t *testing.T) {
	f := open(t)
	const count = 2_000
	f.plan(t, "prices-v1")
	f.follow(t, f.logs)
	f.follow(t, f.b.Logs(broker.LogOptions{MaxAge: 3600e9, MaxBytes: 256 << 20}))
	wait := f.chatter(t, "prices-v1", count, "estimate.etl-0", "estimate.model-0")
	wait()
	f.await(t, "prices-v1", 2*count)
	for process, got := range f.lines(t, "prices-v1") {
		requireNumbered(t, process, count, got)
	}
}

func TestALineTellsWhoLoggedIt(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1",
		planned{Process: "entrypoint-0", Node: "entrypoint"},
		planned{Process: "estimate.model-1", Workflow: "Estimate", Node: "Model", Replica: 1})
	f.print(t, "prices-v1", "entrypoint-0", "one\n")
	f.print(t, "prices-v1", "estimate.model-1", "two\n")
	f.print(t, "prices-v1", "estimate.gone-0", "three\n")
	f.follow(t, f.logs)
	told := map[string]logbook.Process{}
	for _, line := range f.await(t, "prices-v1", 3) {
		told[string(line.Text)] = line.Process
	}
	require.Equal(t, map[string]logbook.Process{
		"one":   {Version: "prices-v1", Name: "entrypoint-0", Node: "entrypoint"},
		"two":   {Version: "prices-v1", Name: "estimate.model-1", Workflow: "Estimate", Node: "Model", Replica: 1},
		"three": {Version: "prices-v1", Name: "estimate.gone-0", Node: "estimate.gone-0"},
	}, told)
}

func TestALongLineIsCutAndTheNextIsWhole(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	const kept = logbook.MaxText
	f.print(t, "prices-v1", "estimate.model-0", strings.Repeat("x", kept)+"\n"+strings.Repeat("y", 3<<20)+"z\nshort\n")
	f.follow(t, f.logs)
	lines := f.await(t, "prices-v1", 3)
	require.Equal(t, strings.Repeat("x", kept), string(lines[0].Text))
	require.Zero(t, lines[0].Cut)
	require.Equal(t, strings.Repeat("y", kept), string(lines[1].Text))
	require.EqualValues(t, 3<<20-kept+1, lines[1].Cut)
	require.Equal(t, "short", string(lines[2].Text))
	require.Contains(t, lines[1].Entry().Message, "… (2883585 more bytes)")
}

func TestARecordMayBeLongerThanText(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	record := `{"level":"error","message":"` + strings.Repeat(`\u0000\"`, logbook.MaxText/2) + `"}`
	require.Greater(t, len(record), 4*logbook.MaxText)
	tooLong := `{"message":"` + strings.Repeat("x", logbook.MaxRecord) + `"}`
	heavy := `{"message":"m","n":[0` + strings.Repeat(",0", logbook.MaxText) + `]}`
	none := `{"no message":"` + strings.Repeat("x", logbook.MaxText) + `"}`
	f.print(t, "prices-v1", "estimate.model-0", strings.Join([]string{record, tooLong, heavy, none, "short", ""}, "\n"))
	_, end := f.follow(t, f.logs)
	lines := f.await(t, "prices-v1", 5)
	require.True(t, record == string(lines[0].Text))
	require.Zero(t, lines[0].Cut)
	require.Equal(t, logbook.Error, lines[0].Entry().Level)
	require.Len(t, lines[0].Entry().Message, logbook.MaxText)
	for i, text := range []string{tooLong, heavy, none} {
		line := lines[i+1]
		require.Len(t, line.Text, logbook.MaxText)
		require.EqualValues(t, len(text), int64(len(line.Text))+line.Cut)
		require.Equal(t, logbook.Info, line.Entry().Level)
	}
	require.Equal(t, "short", string(lines[4].Text))
	end()
	f.follow(t, f.logs)
	f.print(t, "prices-v1", "estimate.model-0", "later\n")
	require.Equal(t, "later", string(f.await(t, "prices-v1", 6)[5].Text), "nothing is stored again")
}

func TestWhatIsNoTextIsStoredAsItIsAndShownAsText(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "\xff\xfe broken\r\n\n\x00\x1b[31mred\n")
	f.follow(t, f.logs)
	lines := f.await(t, "prices-v1", 3)
	require.Equal(t, "\xff\xfe broken\r", string(lines[0].Text))
	require.Equal(t, "� broken", lines[0].Entry().Message)
	require.Empty(t, lines[1].Text, "an empty line is a line")
	require.Equal(t, "\x00\x1b[31mred", lines[2].Entry().Message)
}

func TestALineWithoutItsEndIsStoredToo(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "whole\npanic: no end")
	f.follow(t, f.logs)
	lines := f.await(t, "prices-v1", 2)
	require.Equal(t, "panic: no end", string(lines[1].Text))
}

func TestLinesThatWereDroppedAreNotStoredAgain(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "old 1\nold 2\n")
	_, end := f.follow(t, f.logs)
	f.await(t, "prices-v1", 2)
	end()
	f.drop(t)
	f.print(t, "prices-v1", "estimate.model-0", "new\n")
	f.follow(t, f.logs)
	require.Equal(t, "new", string(f.await(t, "prices-v1", 1)[0].Text))
}

// endsWhileStoring has its follower told to end when a batch is about to be stored.
type endsWhileStoring struct {
	logbook.Keeper
	end context.CancelFunc
}

func (k *endsWhileStoring) Append(ctx context.Context, batch []logbook.Record) (uint64, error) {
	k.end()
	return k.Keeper.Append(ctx, batch)
}

func TestWhatIsBeingStoredWhenTheFollowerEndsIsNotStoredAgain(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "old 1\nold 2\n")
	ctx, cancel := context.WithCancel(t.Context())
	processdir.NewFollower(f.dir, &endsWhileStoring{Keeper: f.logs, end: cancel}, zap.NewNop()).Run(ctx)
	f.await(t, "prices-v1", 2)
	f.drop(t)
	f.print(t, "prices-v1", "estimate.model-0", "new\n")
	f.follow(t, f.logs)
	require.Equal(t, "new", string(f.await(t, "prices-v1", 1)[0].Text))
}

func TestAFileThatIsCutOrReplacedIsReadFromItsBeginning(t *testing.T) {
	f := open(t)
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "a longer line\n")
	f.follow(t, f.logs)
	f.await(t, "prices-v1", 1)
	require.NoError(t, os.Truncate(f.logFile("prices-v1", "estimate.model-0"), 0))
	f.print(t, "prices-v1", "estimate.model-0", "new\n")
	require.Equal(t, "new", string(f.await(t, "prices-v1", 2)[1].Text))
}

func TestWhatIsForgottenIsGoneAndNothingMoreIsStoredOfIt(t *testing.T) {
	f := open(t)
	for _, version := range []string{"prices-v1", "prices-v10"} {
		f.plan(t, version)
		f.print(t, version, "estimate.model-0", "before\n")
	}
	follower, end := f.follow(t, f.logs)
	f.await(t, "prices-v1", 1)
	f.await(t, "prices-v10", 1)
	service := logbook.NewService(f.logs, follower)
	require.NoError(t, service.Forget(t.Context(), "prices-v1"))
	require.NoError(t, service.Forget(t.Context(), "never-was"))
	f.print(t, "prices-v1", "estimate.model-0", "after\n")
	f.print(t, "prices-v10", "estimate.model-0", "after\n")
	f.await(t, "prices-v10", 2)
	require.Empty(t, f.stored(t, "prices-v1"))

	// A version of the same name that comes later is another one, though its files are as long.
	require.NoError(t, os.RemoveAll(filepath.Join(f.root, "versions", "prices-v1")))
	f.plan(t, "prices-v1")
	f.print(t, "prices-v1", "estimate.model-0", "another\n")
	require.Equal(t, "another", string(f.await(t, "prices-v1", 1)[0].Text))
	end()
	f.follow(t, f.logs)
	f.print(t, "prices-v1", "estimate.model-0", "again\n")
	require.Equal(t, "again", string(f.await(t, "prices-v1", 2)[1].Text))
}
