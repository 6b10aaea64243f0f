package enginetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

func contextThatEnded(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func compareKeys(a, b engine.Key) int {
	return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Upload, b.Upload))
}

func readsDetails(t *testing.T, s engine.Store) {
	full := fullDetails("prod", key("v1"))
	bare := engine.Details{Runtime: "prod", Key: key("v2")}
	require.NoError(t, s.PutDetails(t.Context(), full))
	require.NoError(t, s.PutDetails(t.Context(), bare))
	require.NoError(t, s.PutDetails(t.Context(), full), "the same again")
	require.NoError(t, s.PutDetails(t.Context(), fullDetails("other", key("v3"))))

	got, err := s.Details(t.Context(), "prod", []engine.Key{key("v1")})
	require.NoError(t, err)
	require.Equal(t, []engine.Details{full}, got)
	got, err = s.Details(t.Context(), "prod", []engine.Key{key("v2")})
	require.NoError(t, err)
	require.Equal(t, []engine.Details{bare}, got)
	got, err = s.Details(t.Context(), "prod", []engine.Key{key("v2"), key("v3"), key("missing"), key("v1")})
	require.NoError(t, err)
	require.Equal(t, []engine.Key{key("v1"), key("v2")}, keysOf(got))
	got, err = s.Details(t.Context(), "prod", nil)
	require.NoError(t, err)
	require.Empty(t, got)

	var keys []engine.Key
	for i := range 600 { // more than a page
		keys = append(keys, key(fmt.Sprintf("v%d", i)))
	}
	got, err = s.Details(t.Context(), "prod", keys)
	require.NoError(t, err)
	require.Equal(t, []engine.Key{key("v1"), key("v2")}, keysOf(got))
}

func keepsUploadsApart(t *testing.T, s engine.Store) {
	first, second := engine.Key{Version: "v1", Upload: "a"}, engine.Key{Version: "v1", Upload: "b"}
	require.NoError(t, s.PutDetails(t.Context(), engine.Details{Runtime: "prod", Key: first, DisplayName: "first"}))
	require.NoError(t, s.PutDetails(t.Context(), engine.Details{Runtime: "prod", Key: second, DisplayName: "second"}))
	require.NoError(t, s.DeleteRecords(t.Context(), "prod", first))
	got, err := s.Details(t.Context(), "prod", []engine.Key{first, second})
	require.NoError(t, err)
	require.Equal(t, []engine.Details{{Runtime: "prod", Key: second, DisplayName: "second"}}, got)
}

func readsConfigs(t *testing.T, s engine.Store) {
	first, second := fullConfig("prod", key("v1"), "c1", 3), fullConfig("prod", key("v1"), "c2", 4)
	second.Settings = second.Settings[:1]
	require.NoError(t, s.PutConfig(t.Context(), first))
	require.NoError(t, s.PutConfig(t.Context(), second))
	require.NoError(t, s.PutConfig(t.Context(), first), "the same again")
	for _, want := range []engine.Config{first, second} {
		got, err := s.Config(t.Context(), "prod", key("v1"), want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, missing := range []struct {
		runtime, version, id string
	}{{"prod", "v1", "c3"}, {"prod", "v2", "c1"}, {"other", "v1", "c1"}} {
		_, err := s.Config(t.Context(), missing.runtime, key(missing.version), missing.id)
		isKind(t, fault.NotFound, err)
	}
}

func holdsLargeConfigs(t *testing.T, s engine.Store) {
	large := engine.Config{Runtime: "prod", Key: key("v1"), ID: "c1", Revision: 1}
	for i := range 2 {
		large.Settings = append(large.Settings, engine.Setting{
			Key: fmt.Sprintf("FILE_%d", i), Kind: engine.File, Sealed: bytes.Repeat([]byte{byte(i), 0xfe}, 1<<19), UpdateTime: at(1),
		})
	}
	require.NoError(t, s.PutConfig(t.Context(), large))
	got, err := s.Config(t.Context(), "prod", key("v1"), "c1")
	require.NoError(t, err)
	require.True(t, slices.EqualFunc(large.Settings, got.Settings, func(a, b engine.Setting) bool {
		return a.Key == b.Key && bytes.Equal(a.Sealed, b.Sealed)
	}), "the values are others")
}

// configsOf are those of these that are there.
func configsOf(t *testing.T, s engine.Store, runtime, version string, ids ...string) []string {
	t.Helper()
	found := []string{}
	for _, id := range ids {
		_, err := s.Config(t.Context(), runtime, key(version), id)
		if err == nil {
			found = append(found, id)
			continue
		}
		isKind(t, fault.NotFound, err)
	}
	return found
}

func prunesConfigs(t *testing.T, s engine.Store) {
	require.NoError(t, s.PruneConfigs(t.Context(), "prod", key("v1"), 10, ""))
	for i, id := range []string{"c1", "c2", "c3", "c4"} {
		require.NoError(t, s.PutConfig(t.Context(), fullConfig("prod", key("v1"), id, int64(i+1))))
		require.NoError(t, s.PutConfig(t.Context(), fullConfig("prod", key("v10"), id, int64(i+1))))
	}
	require.NoError(t, s.PruneConfigs(t.Context(), "prod", key("v1"), 3, "c2"))
	require.Equal(t, []string{"c2", "c4"}, configsOf(t, s, "prod", "v1", "c1", "c2", "c3", "c4"))
	require.NoError(t, s.PruneConfigs(t.Context(), "prod", key("v1"), 9, ""))
	require.Empty(t, configsOf(t, s, "prod", "v1", "c1", "c2", "c3", "c4"))
	require.Len(t, configsOf(t, s, "prod", "v10", "c1", "c2", "c3", "c4"), 4)
}

// fill stores records and activities of a runtime.
func fill(t *testing.T, s engine.Store, runtime string, versions ...string) {
	t.Helper()
	for i, version := range versions {
		require.NoError(t, s.PutDetails(t.Context(), fullDetails(runtime, key(version))))
		require.NoError(t, s.PutConfig(t.Context(), fullConfig(runtime, key(version), "c1", 1)))
		require.NoError(t, s.PutConfig(t.Context(), fullConfig(runtime, key(version), "c2", 2)))
		require.NoError(t, s.PutActivity(t.Context(), fullActivity(runtime, int64(i+1))))
	}
}

// filled says what of it is there: details, configurations and activities.
func filled(t *testing.T, s engine.Store, runtime string, versions ...string) [3]int {
	t.Helper()
	var keys []engine.Key
	configs := 0
	for _, version := range versions {
		keys = append(keys, key(version))
		configs += len(configsOf(t, s, runtime, version, "c1", "c2"))
	}
	details, err := s.Details(t.Context(), runtime, keys)
	require.NoError(t, err)
	activities, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: runtime, Limit: 100})
	require.NoError(t, err)
	return [3]int{len(details), configs, len(activities)}
}

func deletesRecords(t *testing.T, s engine.Store) {
	require.NoError(t, s.DeleteRecords(t.Context(), "prod", key("v1")), "what is not there")
	fill(t, s, "prod", "v1", "v10", "v1-b")
	fill(t, s, "prod-2", "v1")
	require.NoError(t, s.DeleteRecords(t.Context(), "prod", key("v1")))
	require.Equal(t, [3]int{0, 0, 3}, filled(t, s, "prod", "v1"))
	require.Equal(t, [3]int{2, 4, 3}, filled(t, s, "prod", "v1", "v10", "v1-b"))
	require.Equal(t, [3]int{1, 2, 1}, filled(t, s, "prod-2", "v1"))
}

func purges(t *testing.T, s engine.Store) {
	require.NoError(t, s.Purge(t.Context(), "prod"), "what is not there")
	require.NoError(t, s.CreateLedger(t.Context(), fullLedger("prod", 1)))
	others := []string{"pro", "prod-2", "prod0", "prodd"}
	for _, runtime := range append(others, "prod") {
		fill(t, s, runtime, "v1", "v2")
	}
	require.NoError(t, s.Purge(t.Context(), "prod"))
	require.Equal(t, [3]int{0, 0, 0}, filled(t, s, "prod", "v1", "v2"))
	for _, runtime := range others {
		require.Equal(t, [3]int{2, 4, 2}, filled(t, s, runtime, "v1", "v2"), runtime)
	}
	_, err := s.Ledger(t.Context(), "prod")
	require.NoError(t, err)
}

func revisions(activities []engine.Activity) []int64 {
	found := []int64{}
	for _, a := range activities {
		found = append(found, a.Revision)
	}
	return found
}

func listsActivities(t *testing.T, s engine.Store) {
	for _, revision := range []int64{2, 100, 1, 9, 10, 1 << 60} {
		require.NoError(t, s.PutActivity(t.Context(), fullActivity("prod", revision)))
	}
	require.NoError(t, s.PutActivity(t.Context(), fullActivity("prod-2", 50)))
	bare := engine.Activity{Runtime: "bare", Revision: 1, Time: at(1), Action: engine.ActionCreateRuntime}
	require.NoError(t, s.PutActivity(t.Context(), bare))
	for _, test := range []struct {
		runtime string
		before  int64
		limit   int
		want    []int64
	}{
		{"prod", 0, 10, []int64{1 << 60, 100, 10, 9, 2, 1}},
		{"prod", 0, 2, []int64{1 << 60, 100}},
		{"prod", 100, 2, []int64{10, 9}},
		{"prod", 9, 10, []int64{2, 1}},
		{"prod", 1, 10, []int64{}},
		{"prod-2", 0, 10, []int64{50}},
		{"pro", 0, 10, []int64{}},
		{"prod", 0, 0, []int64{}},
	} {
		got, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: test.runtime, Before: test.before, Limit: test.limit})
		require.NoError(t, err)
		require.Equal(t, test.want, revisions(got), "%+v", test)
	}
	got, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: "prod", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []engine.Activity{fullActivity("prod", 1<<60)}, got)
	got, err = s.Activities(t.Context(), engine.ActivityQuery{Runtime: "bare", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []engine.Activity{bare}, got)
}

func filtersActivities(t *testing.T, s engine.Store) {
	for i := range int64(20) {
		a := fullActivity("prod", i+1)
		a.Version = []string{"v1", "v2", ""}[i%3]
		a.Action = []engine.Action{engine.ActionStartVersion, engine.ActionStopVersion}[i%2]
		require.NoError(t, s.PutActivity(t.Context(), a))
		a.Runtime = "other"
		require.NoError(t, s.PutActivity(t.Context(), a))
	}
	for _, test := range []struct {
		query engine.ActivityQuery
		want  []int64
	}{
		{engine.ActivityQuery{Version: "v1", Limit: 3}, []int64{19, 16, 13}},
		{engine.ActivityQuery{Version: "v1", Before: 13, Limit: 3}, []int64{10, 7, 4}},
		{engine.ActivityQuery{Action: engine.ActionStopVersion, Limit: 2}, []int64{20, 18}},
		{engine.ActivityQuery{Version: "v2", Action: engine.ActionStartVersion, Limit: 9}, []int64{17, 11, 5}},
		{engine.ActivityQuery{Version: "v2", Action: engine.ActionStartVersion, Before: 17, Limit: 1}, []int64{11}},
		{engine.ActivityQuery{Version: "v3", Limit: 9}, []int64{}},
		{engine.ActivityQuery{Action: engine.ActionPublishVersion, Limit: 9}, []int64{}},
	} {
		test.query.Runtime = "prod"
		got, err := s.Activities(t.Context(), test.query)
		require.NoError(t, err)
		require.Equal(t, test.want, revisions(got), "%+v", test.query)
	}
}

func storesAnActivityOnce(t *testing.T, s engine.Store) {
	first := fullActivity("prod", 1)
	require.NoError(t, s.PutActivity(t.Context(), first))
	again := first
	again.Comment = "another"
	require.NoError(t, s.PutActivity(t.Context(), again))
	got, err := s.Activities(t.Context(), engine.ActivityQuery{Runtime: "prod", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []engine.Activity{first}, got)
}
