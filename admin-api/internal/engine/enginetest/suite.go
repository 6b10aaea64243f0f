package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// Run runs the suite. open gives each test a store without anything in it, and cleans up by the test's Cleanup.
func Run(t *testing.T, open func(t *testing.T) engine.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, engine.Store){
		"a ledger is read as it was written":                      readsLedgers,
		"a name is taken once":                                    takesANameOnce,
		"of many new ledgers of a name one is stored":             createsOneOfMany,
		"a ledger is replaced at its revision only":               replacesAtItsRevision,
		"of many replacements of a revision one succeeds":         replacesOneOfMany,
		"changes that are tried again are all made":               losesNoChange,
		"a ledger is removed at its revision only":                removesAtItsRevision,
		"ledgers are listed by name":                              listsLedgers,
		"what comes from the store is the caller's own":           sharesNothing,
		"details are read as they were written, by key":           readsDetails,
		"details of another upload are others":                    keepsUploadsApart,
		"a configuration is read as it was written, by id":        readsConfigs,
		"a configuration holds megabytes":                         holdsLargeConfigs,
		"configurations are pruned up to a revision, but for one": prunesConfigs,
		"the records of one version are removed":                  deletesRecords,
		"everything of a runtime but its ledger is purged":        purges,
		"activities are listed, the newest first":                 listsActivities,
		"activities are listed by version and by action":          filtersActivities,
		"an activity is stored once":                              storesAnActivityOnce,
		"a call whose context has ended is Unavailable":           endsWithTheContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// at is some time, as exactly as stores keep it.
func at(minute int) time.Time {
	return time.Date(2026, 1, 2, 3, minute, 5, 678_000_000, time.UTC)
}

// fullLedger has something in every field.
func fullLedger(name string, revision int64) engine.Ledger {
	return engine.Ledger{
		Name: name, Description: "prices & \"more\" <ü>", CreateTime: at(1), Revision: revision,
		ChangeRevision: revision, PublishRevision: 3, Published: "v1", Deleting: true,
		Entries: []engine.Entry{
			{
				Name: "v1", Upload: "u1", CreateTime: at(2), CreateRevision: 2, Creator: "ada", Revision: 4,
				Digest: "9f86", Size: 1 << 40, WishRevision: 4, Running: true, Discard: true, Config: "c1", Missing: []string{"KEY"},
			},
			{Name: "v2", Upload: "u2", CreateTime: at(3), CreateRevision: 5, Creator: "bob", Revision: 5, Lease: at(4), Deleting: true},
		},
		Gone: []engine.Gone{{Name: "v0", Revision: 1}}, Forgotten: 1,
		Outbox: []engine.Activity{fullActivity(name, revision)},
	}
}

func fullActivity(runtime string, revision int64) engine.Activity {
	return engine.Activity{
		Runtime: runtime, Revision: revision, Time: at(6), Actor: "ada", Action: engine.ActionStartVersion, Version: "v1",
		Comment: "because", Details: map[string]string{"keys": "A,B", "a.b": "$c"},
	}
}

func fullDetails(runtime string, key engine.Key) engine.Details {
	return engine.Details{
		Runtime: runtime, Key: key, DisplayName: "V1", Description: "the first", Variables: []string{"KEY"}, Files: []string{"CERT"},
		Workflows: []engine.Workflow{{Name: "price", RPC: "Estimate", Exitpoint: "out", Nodes: []engine.WorkflowNode{
			{Name: "out", Source: "src/out.py", Subscriptions: []string{"entrypoint"}, Replicas: 2},
		}}},
		Warnings: []string{"a node without a subscriber"},
	}
}

func fullConfig(runtime string, key engine.Key, id string, revision int64) engine.Config {
	return engine.Config{
		Runtime: runtime, Key: key, ID: id, Revision: revision, Settings: []engine.Setting{
			{Key: "KEY", Kind: engine.Variable, Sealed: []byte{0, 1, 255}, UpdateTime: at(7), Updater: "ada"},
			{Key: "CERT", Kind: engine.File, Sealed: []byte("x"), UpdateTime: at(8), Updater: "bob", InheritedFrom: "v0"},
		},
	}
}

func key(version string) engine.Key { return engine.Key{Version: version, Upload: "upload-" + version} }

func isKind(t *testing.T, kind fault.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, fault.KindOf(err), err)
}

// many runs a function at once in as many goroutines and waits for all.
func many(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

func readsLedgers(t *testing.T, s engine.Store) {
	full, bare := fullLedger("prod", 7), engine.Ledger{Name: "bare", Revision: 1, CreateTime: at(1)}
	require.NoError(t, s.CreateLedger(t.Context(), full))
	require.NoError(t, s.CreateLedger(t.Context(), bare))
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, full, got)
	got, err = s.Ledger(t.Context(), "bare")
	require.NoError(t, err)
	require.Equal(t, bare, got)
	_, err = s.Ledger(t.Context(), "pro")
	isKind(t, fault.NotFound, err)
}

func takesANameOnce(t *testing.T, s engine.Store) {
	first := fullLedger("prod", 7)
	require.NoError(t, s.CreateLedger(t.Context(), first))
	isKind(t, fault.AlreadyExists, s.CreateLedger(t.Context(), engine.Ledger{Name: "prod", Revision: 1}))
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, first, got)
}

func createsOneOfMany(t *testing.T, s engine.Store) {
	var mu sync.Mutex
	var winners []string
	many(16, func(i int) {
		creator := fmt.Sprint(i)
		err := s.CreateLedger(t.Context(), engine.Ledger{Name: "prod", Description: creator, Revision: 1})
		if err != nil {
			assert.Equal(t, fault.AlreadyExists, fault.KindOf(err), err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		winners = append(winners, creator)
	})
	require.Len(t, winners, 1)
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, winners[0], got.Description)
}

func replacesAtItsRevision(t *testing.T, s engine.Store) {
	isKind(t, fault.NotFound, s.ReplaceLedger(t.Context(), fullLedger("prod", 2), 1))
	_, err := s.Ledger(t.Context(), "prod")
	isKind(t, fault.NotFound, err)

	require.NoError(t, s.CreateLedger(t.Context(), fullLedger("prod", 1)))
	require.NoError(t, s.CreateLedger(t.Context(), fullLedger("other", 1)))
	second := fullLedger("prod", 2)
	second.Description, second.Entries, second.Outbox = "another", nil, nil
	isKind(t, fault.Conflict, s.ReplaceLedger(t.Context(), second, 2))
	isKind(t, fault.Conflict, s.ReplaceLedger(t.Context(), second, 0))
	require.NoError(t, s.ReplaceLedger(t.Context(), second, 1))
	isKind(t, fault.Conflict, s.ReplaceLedger(t.Context(), fullLedger("prod", 3), 1))
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, second, got)
	other, err := s.Ledger(t.Context(), "other")
	require.NoError(t, err)
	require.Equal(t, fullLedger("other", 1), other)
}

func replacesOneOfMany(t *testing.T, s engine.Store) {
	require.NoError(t, s.CreateLedger(t.Context(), engine.Ledger{Name: "prod", Revision: 1}))
	for revision := int64(1); revision <= 5; revision++ {
		var mu sync.Mutex
		var winners []string
		many(16, func(i int) {
			who := fmt.Sprintf("%d/%d", revision, i)
			err := s.ReplaceLedger(t.Context(), engine.Ledger{Name: "prod", Description: who, Revision: revision + 1}, revision)
			if err != nil {
				assert.Equal(t, fault.Conflict, fault.KindOf(err), err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			winners = append(winners, who)
		})
		require.Len(t, winners, 1)
		got, err := s.Ledger(t.Context(), "prod")
		require.NoError(t, err)
		require.Equal(t, engine.Ledger{Name: "prod", Description: winners[0], Revision: revision + 1}, got)
	}
}

func losesNoChange(t *testing.T, s engine.Store) {
	const writers, each = 8, 5
	require.NoError(t, s.CreateLedger(t.Context(), engine.Ledger{Name: "prod", Revision: 1}))
	many(writers, func(i int) {
		for j := range each {
			for {
				ledger, err := s.Ledger(t.Context(), "prod")
				if !assert.NoError(t, err) {
					return
				}
				was := ledger.Revision
				ledger.Revision++
				ledger.Gone = append(ledger.Gone, engine.Gone{Name: fmt.Sprintf("%d/%d", i, j), Revision: ledger.Revision})
				err = s.ReplaceLedger(t.Context(), ledger, was)
				if err == nil {
					break
				}
				if !assert.Equal(t, fault.Conflict, fault.KindOf(err), err) {
					return
				}
			}
		}
	})
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.EqualValues(t, 1+writers*each, got.Revision)
	require.Len(t, got.Gone, writers*each)
	for i, gone := range got.Gone {
		require.EqualValues(t, i+2, gone.Revision)
	}
}

func removesAtItsRevision(t *testing.T, s engine.Store) {
	isKind(t, fault.NotFound, s.DeleteLedger(t.Context(), "prod", 1))
	require.NoError(t, s.CreateLedger(t.Context(), fullLedger("prod", 4)))
	isKind(t, fault.Conflict, s.DeleteLedger(t.Context(), "prod", 3))
	_, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.NoError(t, s.DeleteLedger(t.Context(), "prod", 4))
	_, err = s.Ledger(t.Context(), "prod")
	isKind(t, fault.NotFound, err)
	require.NoError(t, s.CreateLedger(t.Context(), fullLedger("prod", 1)))
}

func names(ledgers []engine.Ledger) []string {
	found := []string{}
	for _, l := range ledgers {
		found = append(found, l.Name)
	}
	return found
}

func listsLedgers(t *testing.T, s engine.Store) {
	all := []string{"a", "a-b", "a0", "ab", "b", "prod", "prod-1", "prod-10", "prod-2", "prod0", "z"}
	for _, name := range []string{"prod-2", "z", "a0", "b", "a", "prod", "ab", "prod-10", "a-b", "prod0", "prod-1"} {
		require.NoError(t, s.CreateLedger(t.Context(), fullLedger(name, 1)))
	}
	for _, test := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 100, all},
		{"", "", 3, all[:3]},
		{"", "ab", 3, []string{"b", "prod", "prod-1"}},
		{"", "aa", 1, []string{"ab"}},
		{"", "z", 5, []string{}},
		{"prod", "", 100, []string{"prod", "prod-1", "prod-10", "prod-2", "prod0"}},
		{"prod-", "", 100, []string{"prod-1", "prod-10", "prod-2"}},
		{"prod-", "a", 100, []string{"prod-1", "prod-10", "prod-2"}},
		{"prod-", "prod-1", 1, []string{"prod-10"}},
		{"prod-", "prod-2", 5, []string{}},
		{"prod-", "prod0", 5, []string{}},
		{"prod", "prod", 2, []string{"prod-1", "prod-10"}},
		{"c", "", 5, []string{}},
		{"ü", "", 5, []string{}},
		{"\U0010ffff", "", 5, []string{}},
		{"", "", 0, []string{}},
	} {
		got, err := s.Ledgers(t.Context(), test.prefix, test.after, test.limit)
		require.NoError(t, err)
		require.Equal(t, test.want, names(got), "%q behind %q, %d", test.prefix, test.after, test.limit)
	}
	got, err := s.Ledgers(t.Context(), "prod-1", "", 1)
	require.NoError(t, err)
	require.Equal(t, []engine.Ledger{fullLedger("prod-1", 1)}, got)
}

func sharesNothing(t *testing.T, s engine.Store) {
	given := fullLedger("prod", 1)
	require.NoError(t, s.CreateLedger(t.Context(), given))
	spoil := func(l engine.Ledger) {
		l.Entries[0].Name, l.Entries[0].Missing[0] = "spoilt", "spoilt"
		l.Gone[0].Name = "spoilt"
		l.Outbox[0].Details["keys"] = "spoilt"
	}
	spoil(given)
	got, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
	require.Equal(t, fullLedger("prod", 1), got)
	spoil(got)
	list, err := s.Ledgers(t.Context(), "", "", 1)
	require.NoError(t, err)
	require.Equal(t, fullLedger("prod", 1), list[0])

	details := fullDetails("prod", key("v1"))
	require.NoError(t, s.PutDetails(t.Context(), details))
	details.Workflows[0].Nodes[0].Subscriptions[0] = "spoilt"
	config := fullConfig("prod", key("v1"), "c", 1)
	require.NoError(t, s.PutConfig(t.Context(), config))
	config.Settings[0].Sealed[0] = 99
	activity := fullActivity("prod", 1)
	require.NoError(t, s.PutActivity(t.Context(), activity))
	activity.Details["keys"] = "spoilt"
	for range 2 { // what was read the first time is spoilt, too
		details, err := s.Details(t.Context(), "prod", []engine.Key{key("v1")})
		require.NoError(t, err)
		require.Equal(t, []engine.Details{fullDetails("prod", key("v1"))}, details)
		details[0].Workflows[0].Nodes[0].Subscriptions[0] = "spoilt"
		config, err := s.Config(t.Context(), "prod", key("v1"), "c")
		require.NoError(t, err)
		require.Equal(t, fullConfig("prod", key("v1"), "c", 1), config)
		config.Settings[0].Sealed[0] = 99
		activities, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: "prod", Limit: 1})
		require.NoError(t, err)
		require.Equal(t, []engine.Activity{fullActivity("prod", 1)}, activities)
		activities[0].Details["keys"] = "spoilt"
	}
}

func endsWithTheContext(t *testing.T, s engine.Store) {
	ctx, cancel := contextThatEnded(t)
	defer cancel()
	_, err := s.Ledger(ctx, "prod")
	isKind(t, fault.Unavailable, err)
	isKind(t, fault.Unavailable, s.CreateLedger(ctx, fullLedger("prod", 1)))
	_, err = s.Ledgers(ctx, "", "", 10)
	isKind(t, fault.Unavailable, err)
	isKind(t, fault.Unavailable, s.ReplaceLedger(ctx, fullLedger("prod", 2), 1))
	isKind(t, fault.Unavailable, s.DeleteLedger(ctx, "prod", 2))
	isKind(t, fault.Unavailable, s.PutDetails(ctx, fullDetails("prod", key("v1"))))
	_, err = s.Details(ctx, "prod", []engine.Key{key("v1")})
	isKind(t, fault.Unavailable, err)
	isKind(t, fault.Unavailable, s.PutConfig(ctx, fullConfig("prod", key("v1"), "c", 1)))
	_, err = s.Config(ctx, "prod", key("v1"), "c")
	isKind(t, fault.Unavailable, err)
	isKind(t, fault.Unavailable, s.PruneConfigs(ctx, "prod", key("v1"), 1, ""))
	isKind(t, fault.Unavailable, s.DeleteRecords(ctx, "prod", key("v1")))
	isKind(t, fault.Unavailable, s.Purge(ctx, "prod"))
	isKind(t, fault.Unavailable, s.PutActivity(ctx, fullActivity("prod", 1)))
	_, err = s.Activities(ctx, engine.ActivityQuery{Runtime: "prod", Limit: 1})
	isKind(t, fault.Unavailable, err)

	_, err = s.Ledger(t.Context(), "prod")
	isKind(t, fault.NotFound, err)
}

func keysOf(details []engine.Details) []engine.Key {
	found := []engine.Key{}
	for _, d := range details {
		found = append(found, d.Key)
	}
	slices.SortFunc(found, compareKeys)
	return found
}
