package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// kills is how often each service is killed.
const kills = 10

// While one loop uploads, starts, publishes, stops and deletes versions, and callers call what is published in another
// runtime, each service is killed ten times at a random moment.
func TestKilledServicesLeaveNothingUntrueOrStuck(t *testing.T) {
	engine := harness.NewEngine(t)
	steady := engine.Published(t, "steady", harness.Greeting(t, "greeting-v1"), "greeting-v1")
	engine.Runtime(t, "restless")
	packages := make([]string, 4)
	for i := range packages {
		packages[i] = harness.Greeting(t, fmt.Sprintf("version-%d", i))
	}
	load := call(t, steady, 8)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	var rounds atomic.Int64
	for i, file := range packages {
		wait.Go(func() {
			for ctx.Err() == nil {
				lives(ctx, engine, fmt.Sprintf("version-%d", i), file)
				rounds.Add(1)
			}
		})
	}
	for _, victim := range []string{"admin-api", "k8s-manager", "runtime-api"} {
		for range kills {
			time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Second)))) // the moment is random, as asked for
			pid := pidOf(t, engine, victim)
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			harness.Eventually(t, victim+" is ready again", func() (bool, string) {
				return len(victims(engine, victim)) > 0 && pidOf(t, engine, victim) != pid && ready(ctx, engine), ""
			})
		}
		record(t, "kills_"+strings.ReplaceAll(victim, "-", "_"), kills, "")
	}
	cancel()
	wait.Wait()
	answers, failed := load.stop()
	record(t, "kills_rounds", float64(rounds.Load()), "of upload, start, publish, stop, delete")
	record(t, "kills_published_calls", float64(len(answers)), "")
	record(t, "kills_failed_calls", float64(len(failed)), "0")
	require.Empty(t, failed)
	truth(t, engine, packages)
}

// lives takes a version through its life once. What is refused or does not answer is left as it is: the next round goes
// on from there.
func lives(ctx context.Context, engine *harness.Engine, version, file string) {
	name := harness.Name("restless", version)
	ctx, cancel := context.WithTimeout(ctx, harness.Patience)
	defer cancel()
	_, _ = engine.Upload(ctx, "restless", file)
	_, _ = engine.Versions.UpdateConfig(ctx, &adminv1.UpdateConfigRequest{Name: name + "/config", Variables: map[string]string{"GREETING": "Hello"}})
	_, _ = engine.Versions.StartVersion(ctx, &adminv1.StartVersionRequest{Name: name})
	settle(ctx, engine, version, adminv1.Version_STARTED)
	_, _ = engine.Versions.PublishVersion(ctx, &adminv1.PublishVersionRequest{Name: name})
	settle(ctx, engine, version, adminv1.Version_PUBLISHED)
	_, _ = engine.Versions.UnpublishVersion(ctx, &adminv1.UnpublishVersionRequest{Name: name})
	_, _ = engine.Versions.StopVersion(ctx, &adminv1.StopVersionRequest{Name: name})
	settle(ctx, engine, version, adminv1.Version_STOPPED)
	_, _ = engine.Versions.DeleteVersion(ctx, &adminv1.DeleteVersionRequest{Name: name})
}

// settle gives a version some seconds to come to a state.
func settle(ctx context.Context, engine *harness.Engine, version string, state adminv1.Version_State) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if found, err := engine.Get(ctx, "restless", version); err == nil && found.GetState() == state || status.Code(err) == codes.NotFound {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// victims are the processes that may be killed: of runtime-api the one of the restless runtime.
func victims(engine *harness.Engine, program string) []harness.Process {
	var found []harness.Process
	for _, p := range engine.Processes(program) {
		if program == "runtime-api" {
			if environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID)); err != nil || !strings.Contains(string(environment), "restless") {
				continue
			}
		}
		if program == "k8s-manager" && len(p.Args) > 0 && p.Args[0] == "address" {
			continue // a process of its own that holds a stable address
		}
		found = append(found, p)
	}
	return found
}

func pidOf(t *testing.T, engine *harness.Engine, program string) (pid int) {
	t.Helper()
	harness.Eventually(t, program+" runs", func() (bool, string) {
		found := victims(engine, program)
		if len(found) > 0 {
			pid = found[0].PID
		}
		return len(found) > 0, ""
	})
	return pid
}

// ready reports whether the engine can observe the runtime and its nodes: all three services answer.
func ready(ctx context.Context, engine *harness.Engine) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	runtime, err := engine.Runtimes.GetRuntime(ctx, &adminv1.GetRuntimeRequest{Name: "runtimes/restless"})
	if err != nil || runtime.GetState() != adminv1.Runtime_READY {
		return false
	}
	// Refused by runtime-api, which reads it: so it is there.
	_, err = engine.UploadFrom(ctx, "restless", strings.NewReader("not a package"))
	return status.Code(err) == codes.InvalidArgument
}

// truth checks that what is told is so, that everything can be brought to an end, and that nothing is left of what was
// not completed.
func truth(t *testing.T, engine *harness.Engine, packages []string) {
	t.Helper()
	harness.Eventually(t, "every version is what it was asked to be", func() (bool, string) {
		list, err := engine.Versions.ListVersions(t.Context(), &adminv1.ListVersionsRequest{Parent: "runtimes/restless"})
		require.NoError(t, err)
		for _, v := range list.GetVersions() {
			want := adminv1.Version_STOPPED
			switch {
			case v.GetPublished():
				want = adminv1.Version_PUBLISHED
			case v.GetRunning():
				want = adminv1.Version_STARTED
			}
			if v.GetState() != want {
				return false, list.String()
			}
			if v.GetHttpAddress() != "" {
				answer, err := harness.PostTo(t.Context(), v.GetHttpAddress()+"/"+greetRPC, "application/json", `{"name":"Ada"}`)
				if err != nil || answer.Status != http.StatusOK {
					return false, fmt.Sprintf("%s: %v %v", v.GetName(), answer, err)
				}
			}
		}
		return true, ""
	})
	for i, file := range packages {
		version := fmt.Sprintf("version-%d", i)
		name := harness.Name("restless", version)
		if _, err := engine.Get(t.Context(), "restless", version); status.Code(err) == codes.NotFound {
			engine.MustUpload(t, "restless", file)
		}
		engine.Set(t, "restless", version, map[string]string{"GREETING": "Hello"})
		_, err := engine.Versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
		require.NoError(t, err)
		harness.Eventually(t, version+" runs", func() (bool, string) {
			found, err := engine.Get(t.Context(), "restless", version)
			require.NoError(t, err)
			return found.GetState() == adminv1.Version_STARTED || found.GetState() == adminv1.Version_PUBLISHED, found.String()
		})
		_, err = engine.Versions.UnpublishVersion(t.Context(), &adminv1.UnpublishVersionRequest{Name: name})
		require.NoError(t, err)
		_, err = engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: name})
		require.NoError(t, err)
		engine.WaitState(t, "restless", version, adminv1.Version_STOPPED)
		_, err = engine.Versions.DeleteVersion(t.Context(), &adminv1.DeleteVersionRequest{Name: name})
		require.NoError(t, err)
	}
	harness.Eventually(t, "no process of a deleted version is left", func() (bool, string) {
		for _, p := range engine.Processes("") {
			environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
			if err == nil && strings.Contains(string(environment), "/restless/versions/") {
				return false, p.Program
			}
		}
		return true, ""
	})
	harness.Eventually(t, "nothing half-written is left", func() (bool, string) {
		left, err := filepath.Glob(filepath.Join(engine.Data, "runtimes", "restless", "versions", "*"))
		require.NoError(t, err)
		objects := objectsOf(t, engine, "restless")
		return len(left) == 0 && len(objects) == 0, strings.Join(append(left, objects...), "\n")
	})
}

// objectsOf lists the files that hold a runtime's objects.
func objectsOf(t *testing.T, engine *harness.Engine, runtime string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(engine.Data, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.Contains(path, "/kre-"+runtime+"/") && !strings.Contains(path, "/.") {
			found = append(found, path)
		}
		return nil // what vanishes while we look is gone
	})
	require.NoError(t, err)
	return found
}
