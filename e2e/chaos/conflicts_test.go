package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Two hundred people start, stop and publish three versions at once.
func TestConflictingTransitionsEndInOneTruth(t *testing.T) {
	engine := harness.NewEngine(t)
	engine.Runtime(t, "fought")
	versions := []string{"one", "two", "three"}
	for _, version := range versions {
		engine.MustUpload(t, "fought", harness.Greeting(t, version))
		engine.Set(t, "fought", version, map[string]string{"GREETING": "Hello"})
	}
	engine.MustStart(t, "fought", "one")
	engine.MustStart(t, "fought", "two")

	// A watcher of every change never sees two published versions.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := engine.Runtimes.WatchRuntime(ctx, &adminv1.WatchRuntimeRequest{Name: "runtimes/fought"})
	require.NoError(t, err)
	watched := make(chan error, 1)
	go func() { watched <- neverTwo(stream) }()

	var (
		mu   sync.Mutex
		seen = make(map[codes.Code]int)
		wait sync.WaitGroup
	)
	for i := range 200 {
		name := harness.Name("fought", versions[i%3])
		wait.Go(func() {
			var err error
			switch i / 3 % 3 {
			case 0:
				_, err = engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
			case 1:
				_, err = engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: name})
			default:
				_, err = engine.Versions.PublishVersion(t.Context(), &adminv1.PublishVersionRequest{Name: name})
			}
			mu.Lock()
			defer mu.Unlock()
			seen[status.Code(err)]++
			if !allowed(status.Code(err)) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wait.Wait()
	for code, n := range seen {
		record(t, "conflicts_"+code.String(), float64(n), "")
	}

	// What was asked for last comes about, whatever it is.
	harness.Eventually(t, "everything has settled", func() (bool, string) {
		list, err := engine.Versions.ListVersions(t.Context(), &adminv1.ListVersionsRequest{Parent: "runtimes/fought"})
		require.NoError(t, err)
		for _, v := range list.GetVersions() {
			want := adminv1.Version_STOPPED
			if v.GetPublished() {
				want = adminv1.Version_PUBLISHED
			} else if v.GetRunning() {
				want = adminv1.Version_STARTED
			}
			if v.GetState() != want {
				return false, list.String()
			}
		}
		return true, ""
	})
	cancel()
	err = <-watched
	require.Equal(t, codes.Canceled, status.Code(err), "%v", err)
}

// allowed are the answers that a transition may give beside others.
func allowed(code codes.Code) bool {
	return code == codes.OK || code == codes.FailedPrecondition || code == codes.Aborted
}

// neverTwo follows a runtime until its stream ends, and tells when two versions are published at once: the runtime names one
// at most, and after every change no other version says that it is it.
func neverTwo(stream adminv1.RuntimeService_WatchRuntimeClient) error {
	published := make(map[string]int64) // by version, the revision that told so
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		told := event.GetSnapshot().GetVersions()
		if event.GetVersion() != nil {
			told = append(told, event.GetVersion())
		}
		for _, version := range told {
			delete(published, version.GetName())
			if version.GetPublished() {
				published[version.GetName()] = event.GetRevision()
			}
		}
		same := make(map[int64]string)
		for version, revision := range published {
			if other, two := same[revision]; two {
				return fmt.Errorf("at revision %d both %s and %s are published", revision, version, other)
			}
			same[revision] = version
		}
	}
}
