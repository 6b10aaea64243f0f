package mongostore

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
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

// TestMongoDBServesEveryQueryByAnIndex reads the server's own plans. It has nothing to do without a server, which the first
// line of the output says.
func TestMongoDBServesEveryQueryByAnIndex(t *testing.T) {
	uri := os.Getenv("KRE_TEST_MONGO_URI")
	if uri == "" {
		return
	}
	s, err := Open(t.Context(), uri, fmt.Sprintf("kre-test-%d", time.Now().UnixNano()), Options{Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.ledgers.Database().Drop(context.Background()))
		require.NoError(t, s.Close(context.Background()))
	})
	key := engine.Key{Version: "v1", Upload: "u1"}
	for i := range int64(200) { // a plan of an empty collection says little
		runtime := fmt.Sprintf("runtime-%d", i%10)
		require.NoError(t, s.PutActivity(t.Context(), engine.Activity{Runtime: runtime, Revision: i + 1, Version: "v1", Action: engine.ActionStartVersion}))
		require.NoError(t, s.PutDetails(t.Context(), engine.Details{Runtime: runtime, Key: engine.Key{Version: fmt.Sprint(i)}}))
		require.NoError(t, s.PutConfig(t.Context(), engine.Config{Runtime: runtime, Key: key, ID: fmt.Sprint(i)}))
		require.NoError(t, s.CreateLedger(t.Context(), engine.Ledger{Name: fmt.Sprintf("runtime-%d", i), Revision: 1}))
	}
	type query struct {
		collection *mongo.Collection
		filter     bson.D
		sort       bson.D
	}
	queries := map[string]query{
		"a ledger":                {s.ledgers, byID("runtime-1"), nil},
		"a ledger of a revision":  {s.ledgers, guarded("runtime-1", 1), nil},
		"details":                 {s.details, detailsQuery("runtime-1", []engine.Key{key, {Version: "v2"}}), nil},
		"a configuration":         {s.configs, byID(recordID("runtime-1", key) + "/1"), nil},
		"what a purge removes":    {s.activities, within("runtime-1"), ascending},
		"configurations to prune": {s.configs, within(recordID("runtime-1", key)), ascending},
	}
	for _, prefix := range []string{"", "runtime-1"} {
		for _, after := range []string{"", "runtime-12"} {
			filter, _ := ledgersQuery(prefix, after, 50)
			queries[fmt.Sprintf("ledgers, %q behind %q", prefix, after)] = query{s.ledgers, filter, ascending}
		}
	}
	for _, version := range []string{"", "v1"} {
		for _, action := range []engine.Action{"", engine.ActionStartVersion} {
			for _, before := range []int64{0, 50} {
				filter, _ := activitiesQuery(engine.ActivityQuery{Runtime: "runtime-1", Version: version, Action: action, Before: before, Limit: 50})
				queries[fmt.Sprintf("activities, %q %q %d", version, action, before)] = query{s.activities, filter, descending}
			}
		}
	}
	for name, q := range queries {
		t.Run(name, func(t *testing.T) {
			find := bson.D{{Key: "find", Value: q.collection.Name()}, {Key: "filter", Value: q.filter}, {Key: "limit", Value: 50}}
			if q.sort != nil {
				find = append(find, bson.E{Key: "sort", Value: q.sort})
			}
			var plan struct {
				QueryPlanner struct {
					WinningPlan bson.M `bson:"winningPlan"`
				} `bson:"queryPlanner"`
			}
			require.NoError(t, s.ledgers.Database().RunCommand(t.Context(),
				bson.D{{Key: "explain", Value: find}, {Key: "verbosity", Value: "queryPlanner"}}).Decode(&plan))
			text := fmt.Sprint(plan.QueryPlanner.WinningPlan)
			require.NotEmpty(t, plan.QueryPlanner.WinningPlan)
			require.NotContains(t, text, "COLLSCAN")
			require.NotContains(t, text, "stage:SORT", "it is sorted in memory")
		})
	}
}
