package mongostore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/embedded/documents"
)

func TestTheSuccessorOfAPrefixIsBehindAllThatBeginWithIt(t *testing.T) {
	for prefix, want := range map[string]string{
		"":                      "",
		"a":                     "b",
		"prod-":                 "prod.",
		"az":                    "a{",
		"a\U0010ffff":           "b",
		"\U0010ffff":            "",
		"a\U0010ffff\U0010ffff": "b",
		"x\ud7ff":               "x\ue000",
		"ü":                     "ý",
	} {
		require.Equal(t, want, successor(prefix), "%q", prefix)
	}
}

// question is what the store has asked the server for.
type question struct {
	name       string // find, update or delete
	collection string
	filter     bson.Raw
	sort       bson.Raw // nil: in any order
	limit      int64
}

// questions takes down what is asked.
type questions struct {
	mu    sync.Mutex
	asked []question
	other []string // names of commands that read or write in another way
}

func (q *questions) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, started *event.CommandStartedEvent) {
		command := bson.Raw(bytes.Clone(started.Command))
		q.mu.Lock()
		defer q.mu.Unlock()
		collection, _ := command.Lookup(started.CommandName).StringValueOK()
		filters := map[string]string{"update": "updates", "delete": "deletes"}
		switch name := started.CommandName; name {
		case "find":
			one := question{name: name, collection: collection, filter: command.Lookup("filter").Document()}
			one.sort, _ = command.Lookup("sort").DocumentOK()
			one.limit, _ = command.Lookup("limit").AsInt64OK()
			q.asked = append(q.asked, one)
		case "update", "delete":
			each, err := command.Lookup(filters[name]).Array().Values()
			if err != nil {
				q.other = append(q.other, name)
			}
			for _, value := range each {
				q.asked = append(q.asked, question{name: name, collection: collection, filter: value.Document().Lookup("q").Document()})
			}
		case "insert", "hello", "isMaster", "endSessions", "ping":
		default:
			q.other = append(q.other, name)
		}
	}}
}

// taken returns what was asked since the last time, each question once.
func (q *questions) taken() ([]question, []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	asked, other := q.asked, q.other
	q.asked, q.other = nil, nil
	return slices.CompactFunc(asked, func(a, b question) bool {
		return a.name == b.name && a.collection == b.collection && bytes.Equal(a.filter, b.filter) && bytes.Equal(a.sort, b.sort)
	}), other
}

// library is a store with some runtimes in it, and an engine over it whose loop does not run.
type library struct {
	*engine.Engine
	store     *Store
	questions *questions
	ctx       context.Context
}

func newLibrary(t *testing.T, uri string) *library {
	t.Helper()
	l := &library{questions: new(questions), ctx: engine.WithActor(t.Context(), "ada")}
	var err error
	l.store, err = Open(t.Context(), uri, "kre-test-"+strings.ToLower(rand.Text()), Options{Timeout: time.Minute, monitor: l.questions.monitor()})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.store.ledgers.Database().Drop(context.Background()))
		require.NoError(t, l.store.Close(context.Background()))
	})
	world := enginetest.NewWorld()
	l.Engine = engine.New(zap.NewNop(), engine.Ports{Store: l.store, Manager: world, Runtimes: world, Calls: world, Sealer: enginetest.Seal{}},
		engine.Options{PageKey: []byte("key")})
	for r := range 20 { // a plan of an empty collection says little
		runtime := fmt.Sprintf("runtime-%d", r)
		_, err := l.CreateRuntime(l.ctx, runtime, "", "")
		require.NoError(t, err)
		for v := range 3 {
			_, err := l.UploadVersion(l.ctx, runtime, "", strings.NewReader(fmt.Sprintf("v%d KEY", v)))
			require.NoError(t, err)
		}
		_, err = l.UpdateConfig(l.ctx, engine.ConfigChange{
			Transition: engine.Transition{Runtime: runtime, Version: "v1"}, Variables: map[string]string{"KEY": "x"},
		})
		require.NoError(t, err)
	}
	return l
}

// pages asks for the first page of one and for the one behind it.
func pages(page func(engine.PageRequest) (next string, err error), filter string) error {
	next, err := page(engine.PageRequest{Size: 1, Filter: filter})
	if err != nil || next == "" {
		return err
	}
	_, err = page(engine.PageRequest{Size: 1, Filter: filter, Token: next})
	return err
}

// uses is every way in which the API reads what is stored: every list with every filter and the page behind, and whatever
// finds, changes or removes one thing.
func (l *library) uses() map[string]func() error {
	const runtime, version = "runtime-1", "v1"
	at := engine.Transition{Runtime: runtime, Version: version}
	uses := map[string]func() error{
		"a runtime":           func() error { _, err := l.GetRuntime(l.ctx, runtime); return err },
		"a runtime, changed":  func() error { _, err := l.UpdateRuntime(l.ctx, runtime, rand.Text(), 0); return err },
		"a version":           func() error { _, err := l.GetVersion(l.ctx, runtime, version); return err },
		"a version, started":  func() error { _, err := l.StartVersion(l.ctx, at); return err },
		"a configuration":     func() error { _, err := l.GetConfig(l.ctx, runtime, version); return err },
		"a configuration set": func() error { return l.configure(at) },
		"a version's records, removed": func() error {
			return l.store.DeleteRecords(l.ctx, "runtime-2", engine.Key{Version: "v1", Upload: "gone"})
		},
		"a runtime's records, removed": func() error { return l.store.Purge(l.ctx, "runtime-3") },
		"a ledger, removed":            func() error { return l.removeLedger("runtime-4") },
		"a watch": func() error {
			ctx, cancel := context.WithCancel(l.ctx)
			defer cancel()
			return l.WatchRuntime(ctx, runtime, 0, func(engine.Event) error { cancel(); return nil })
		},
	}
	runtimes := func(request engine.PageRequest) (string, error) {
		page, err := l.ListRuntimes(l.ctx, request)
		return page.NextToken, err
	}
	versions := func(request engine.PageRequest) (string, error) {
		page, err := l.ListVersions(l.ctx, runtime, request)
		return page.NextToken, err
	}
	activities := func(request engine.PageRequest) (string, error) {
		page, err := l.ListActivities(l.ctx, runtime, request)
		return page.NextToken, err
	}
	for _, filter := range []string{"", `name = "runtime-1*"`, `name = "runtime-1"`, `name = "*"`} {
		uses["runtimes "+filter] = func() error { return pages(runtimes, filter) }
	}
	for _, filter := range []string{"", `name = "v*"`, "name = v1", "running = false", "published = false", "digest = digest-v1"} {
		uses["versions "+filter] = func() error { return pages(versions, filter) }
	}
	for _, filter := range []string{"", "version = v1", "action = version.create", "version = v1 AND action = config.update"} {
		uses["activities "+filter] = func() error { return pages(activities, filter) }
	}
	return uses
}

func (l *library) configure(at engine.Transition) error {
	_, err := l.UpdateConfig(l.ctx, engine.ConfigChange{Transition: at, Variables: map[string]string{"KEY": rand.Text()}})
	return err
}

func (l *library) removeLedger(runtime string) error {
	ledger, err := l.store.Ledger(l.ctx, runtime)
	if err != nil {
		return err
	}
	return l.store.DeleteLedger(l.ctx, runtime, ledger.Revision)
}

// each asks for everything once and shows what the server was asked for it.
func (l *library) each(t *testing.T, show func(t *testing.T, asked question)) {
	t.Helper()
	for name, use := range l.uses() {
		t.Run(name, func(t *testing.T) {
			l.questions.taken()
			err := use()
			asked, other := l.questions.taken()
			if name == "a watch" {
				require.ErrorIs(t, err, context.Canceled)
			} else {
				require.NoError(t, err)
			}
			require.NotEmpty(t, asked)
			require.Empty(t, other, "commands whose plans nobody looks at")
			for _, one := range asked {
				show(t, one)
			}
		})
	}
}

// TestEveryQuestionIsAboutIDs holds whatever the server: an id, some ids, or a range of ids that has an end; a list has a
// limit and the order of ids.
func TestEveryQuestionIsAboutIDs(t *testing.T) {
	server, err := documents.Start(t.Context(), documents.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	newLibrary(t, server.URI()).each(t, func(t *testing.T, asked question) {
		id, err := asked.filter.LookupErr("_id")
		require.NoError(t, err, "%+v", asked)
		if _, one := id.StringValueOK(); one {
			return
		}
		bounds, isDocument := id.DocumentOK()
		require.True(t, isDocument, "%+v", asked)
		if some, err := bounds.LookupErr("$in"); err == nil {
			ids, err := some.Array().Values()
			require.NoError(t, err)
			require.LessOrEqual(t, len(ids), atOnce)
			return
		}
		require.Positive(t, asked.limit, "%+v", asked)
		require.NotNil(t, asked.sort, "%+v", asked)
		if asked.collection != "ledgers" { // of which there may be a page of all
			_, err = bounds.LookupErr("$lt")
			require.NoError(t, err, "what is of one runtime has an end: %+v", asked)
		}
	})
}

// TestMongoDBServesEveryQuestionByAnIndex reads the server's own plans. It has nothing to do without a server, which the
// first line of the output says.
func TestMongoDBServesEveryQuestionByAnIndex(t *testing.T) {
	uri := os.Getenv("KRE_TEST_MONGO_URI")
	if uri == "" {
		return
	}
	l := newLibrary(t, uri)
	l.each(t, func(t *testing.T, asked question) {
		find := bson.D{{Key: "find", Value: asked.collection}, {Key: "filter", Value: asked.filter}}
		if asked.sort != nil {
			find = append(find, bson.E{Key: "sort", Value: asked.sort})
		}
		if asked.limit > 0 {
			find = append(find, bson.E{Key: "limit", Value: asked.limit})
		}
		explain := bson.D{{Key: "explain", Value: find}, {Key: "verbosity", Value: "queryPlanner"}}
		plan, err := l.store.ledgers.Database().RunCommand(t.Context(), explain).Raw()
		require.NoError(t, err)
		l.questions.taken() // this was one too
		require.NoError(t, byIndex(plan), "%+v\n%s", asked, plan)
	})
}

// byIndex tells whether a plan, as explain answers it, finds by an index and sorts nothing in memory.
func byIndex(plan bson.Raw) error {
	winning, err := plan.LookupErr("queryPlanner", "winningPlan")
	if err != nil {
		return fmt.Errorf("there is no plan: %w", err)
	}
	found := stages(winning, nil)
	for _, bad := range []string{"COLLSCAN", "SORT"} {
		if slices.Contains(found, bad) {
			return fmt.Errorf("the plan has a %s: %v", bad, found)
		}
	}
	// An id alone has shorter ways through its index.
	for _, good := range []string{"IXSCAN", "IDHACK", "EXPRESS_IXSCAN", "EOF"} {
		if slices.Contains(found, good) {
			return nil
		}
	}
	return fmt.Errorf("the plan has no IXSCAN: %v", found)
}

// stages are the names of all stages of a plan.
func stages(value bson.RawValue, found []string) []string {
	var inner []bson.RawValue
	switch value.Type {
	case bson.TypeEmbeddedDocument:
		elements, err := value.Document().Elements()
		if err != nil {
			return found
		}
		for _, element := range elements {
			if name, isText := element.Value().StringValueOK(); isText && element.Key() == "stage" {
				found = append(found, name)
			}
			inner = append(inner, element.Value())
		}
	case bson.TypeArray:
		inner, _ = value.Array().Values() // of an array that cannot be read there are none
	}
	for _, one := range inner {
		found = stages(one, found)
	}
	return found
}

func TestAPlanThatScansOrSortsIsSeen(t *testing.T) {
	for plan, want := range map[string]string{
		`{"queryPlanner": {"winningPlan": {"stage": "LIMIT", "inputStage": {"stage": "FETCH", "inputStage": {"stage": "IXSCAN"}}}}}`:                   "",
		`{"queryPlanner": {"winningPlan": {"stage": "IDHACK"}}}`:                                                                                       "",
		`{"queryPlanner": {"winningPlan": {"isCached": false, "stage": "EXPRESS_IXSCAN"}}}`:                                                            "",
		`{"queryPlanner": {"winningPlan": {"queryPlan": {"stage": "FETCH", "inputStage": {"stage": "IXSCAN"}}, "slotBasedPlan": {"stages": "scan"}}}}`: "",
		`{"queryPlanner": {"winningPlan": {"stage": "LIMIT", "inputStage": {"stage": "COLLSCAN"}}}}`:                                                   "a COLLSCAN",
		`{"queryPlanner": {"winningPlan": {"stage": "OR", "inputStages": [{"stage": "IXSCAN"}, {"stage": "COLLSCAN"}]}}}`:                              "a COLLSCAN",
		`{"queryPlanner": {"winningPlan": {"stage": "SORT", "inputStage": {"stage": "FETCH", "inputStage": {"stage": "IXSCAN"}}}}}`:                    "a SORT",
		`{"queryPlanner": {"winningPlan": {"stage": "VIRTUAL_SCAN"}}}`:                                                                                 "no IXSCAN",
		`{"queryPlanner": {}}`: "no plan",
	} {
		var raw bson.Raw
		require.NoError(t, bson.UnmarshalExtJSON([]byte(plan), false, &raw))
		if want == "" {
			require.NoError(t, byIndex(raw), plan)
		} else {
			require.ErrorContains(t, byIndex(raw), want, plan)
		}
	}
}
