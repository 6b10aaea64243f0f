package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/mongostore"
)

// BenchmarkPages measures the slowest page of each list over REST, with ten versions in one runtime and with 10,000 in
// 1,000, in the store of `kre up`: the lists are read from their beginnings to their ends, in pages of the usual size and of
// the largest, with and without filters.
func BenchmarkPages(b *testing.B) {
	for b.Loop() {
		uri := started(b, "documents", b.TempDir()).URI
		store, err := mongostore.Open(b.Context(), uri, database, mongostore.Options{Timeout: patience})
		require.NoError(b, err)
		filled := 0
		for _, runtimes := range []int{1, 1000} {
			require.NoError(b, fill(b.Context(), store, filled, runtimes))
			filled = runtimes
			b.Run(fmt.Sprintf("%d versions", runtimes*versionsEach), func(b *testing.B) {
				for b.Loop() {
					pages(b, started(b, "stored", uri).HTTP, runtimes)
				}
			})
		}
		require.NoError(b, store.Close(b.Context()))
	}
}

func pages(b *testing.B, base string, runtimes int) {
	b.Helper()
	total := runtimes * versionsEach
	some := []string{runtimeName(0), runtimeName(runtimes / 2), runtimeName(runtimes - 1)}
	lists := map[string][]string{"runtimes": {"/v1/runtimes", "/v1/runtimes?filter=" + url.QueryEscape(`name = "runtime-0*"`)}}
	for _, runtime := range some {
		lists["versions"] = append(lists["versions"], "/v1/runtimes/"+runtime+"/versions",
			"/v1/runtimes/"+runtime+"/versions?filter="+url.QueryEscape(`name = "v*" AND running = false`))
		lists["activities"] = append(lists["activities"], "/v1/runtimes/"+runtime+"/activities",
			"/v1/runtimes/"+runtime+"/activities?filter="+url.QueryEscape("version = v1"),
			"/v1/runtimes/"+runtime+"/activities?filter="+url.QueryEscape("action = version.start"))
	}
	for name, paths := range lists {
		var slowest time.Duration
		for _, path := range paths {
			for _, size := range []int{5, 50, 500} {
				slowest = max(slowest, slowestPage(b, base+path, size))
			}
		}
		record(fmt.Sprintf("page_%s_%d_ms", name, total), float64(slowest.Microseconds())/1000, "at most 300, the slowest page")
	}
}

// slowestPage reads a list page by page. A few pages tell enough of small ones.
func slowestPage(b *testing.B, list string, size int) time.Duration {
	b.Helper()
	const enough = 25
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	at, err := url.Parse(list)
	require.NoError(b, err)
	query := at.Query()
	query.Set("pageSize", fmt.Sprint(size))
	var slowest time.Duration
	for range enough {
		at.RawQuery = query.Encode()
		begun := time.Now()
		text, err := fetch(b.Context(), client, at.String())
		slowest = max(slowest, time.Since(begun))
		require.NoError(b, err)
		var page struct {
			Next string `json:"nextPageToken"`
		}
		require.NoError(b, json.Unmarshal(text, &page))
		if page.Next == "" {
			break
		}
		query.Set("pageToken", page.Next)
	}
	return slowest
}
