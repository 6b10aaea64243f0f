package mongostore_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/mongostore"
)

// BenchmarkPages tells what a page costs with 10 versions and with 10,000 in 1,000 runtimes, over the embedded server or
// the one that is named:
//
//	go test -run '^$' -bench Pages ./internal/mongostore
func BenchmarkPages(b *testing.B) {
	uri := os.Getenv(realMongo)
	if uri == "" {
		uri = embedded(b)
	}
	for _, runtimes := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d versions", runtimes*10), func(b *testing.B) {
			s := open(b, uri)
			keys := populate(b, s, runtimes)
			last := fmt.Sprintf("runtime-%04d", runtimes-1)
			for name, page := range map[string]func() (int, error){
				"one runtime": func() (int, error) {
					_, err := s.Ledger(b.Context(), last)
					return 1, err
				},
				"50 runtimes": func() (int, error) {
					ledgers, err := s.Ledgers(b.Context(), "", "runtime-0500", 50)
					return len(ledgers), err
				},
				"500 runtimes": func() (int, error) {
					ledgers, err := s.Ledgers(b.Context(), "runtime-", "", 500)
					return len(ledgers), err
				},
				"versions of a runtime": func() (int, error) {
					details, err := s.Details(b.Context(), last, keys)
					return len(details), err
				},
				"50 activities": func() (int, error) {
					activities, err := s.Activities(b.Context(), engine.ActivityQuery{Runtime: last, Limit: 50})
					return len(activities), err
				},
				"activities of a version": func() (int, error) {
					activities, err := s.Activities(b.Context(), engine.ActivityQuery{Runtime: last, Version: "v1", Limit: 50})
					return len(activities), err
				},
				"a change": func() (int, error) {
					ledger, err := s.Ledger(b.Context(), last)
					if err != nil {
						return 0, err
					}
					was := ledger.Revision
					ledger.Revision++
					return 1, s.ReplaceLedger(b.Context(), ledger, was)
				},
			} {
				b.Run(name, func(b *testing.B) {
					found := 0
					for b.Loop() {
						n, err := page()
						require.NoError(b, err)
						found = n
					}
					b.ReportMetric(float64(found), "documents")
				})
			}
		})
	}
}

// populate stores runtimes with ten versions and fifty activities each, and returns the keys of the versions.
func populate(b *testing.B, s *mongostore.Store, runtimes int) []engine.Key {
	b.Helper()
	var keys []engine.Key
	var entries []engine.Entry
	now := time.Now().UTC()
	for v := range 10 {
		key := engine.Key{Version: fmt.Sprintf("v%d", v), Upload: "01K0QZ7T3M5V8N2B4C6D9F1G3H"}
		keys = append(keys, key)
		entries = append(entries, engine.Entry{
			Name: key.Version, Upload: key.Upload, CreateTime: now, CreateRevision: int64(v), Creator: "admin", Revision: int64(v),
			Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Size: 1 << 20, WishRevision: int64(v), Running: v == 9,
			Config: "01K0QZ7T3M5V8N2B4C6D9F1G3J",
		})
	}
	for r := range runtimes {
		name := fmt.Sprintf("runtime-%04d", r)
		require.NoError(b, s.CreateLedger(b.Context(), engine.Ledger{
			Name: name, Description: "a runtime among many", CreateTime: now, Revision: 1, Published: "v9", Entries: entries,
		}))
		for _, key := range keys {
			d := engine.Details{Runtime: name, Key: key, DisplayName: key.Version, Description: "a version among many", Variables: []string{"API_KEY"}}
			for w := range 2 {
				workflow := engine.Workflow{Name: fmt.Sprintf("workflow-%d", w), RPC: "Estimate", Exitpoint: "n4"}
				for n := range 5 {
					workflow.Nodes = append(workflow.Nodes, engine.WorkflowNode{
						Name: fmt.Sprintf("n%d", n), Source: "src/node/main.py", Subscriptions: []string{"entrypoint"}, Replicas: 1,
					})
				}
				d.Workflows = append(d.Workflows, workflow)
			}
			require.NoError(b, s.PutDetails(b.Context(), d))
		}
		for a := range int64(20) {
			require.NoError(b, s.PutActivity(b.Context(), engine.Activity{
				Runtime: name, Revision: a + 1, Time: now, Actor: "admin", Action: engine.ActionStartVersion, Version: fmt.Sprintf("v%d", a%10), Comment: "why not",
			}))
		}
	}
	return keys
}
