package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/process"
	"github.com/konstellation-io/kre/kit/proc"
)

// patience is how long something that has to come is waited for.
const patience = 60 * time.Second

// world is a machine with runtimes.
type world struct {
	dir      string
	libexec  string
	api      *fakeAPI
	accounts *fakeAccounts
	cluster  *process.Cluster
	first    int // port of the first stable address
}

// newWorld opens a cluster in an empty directory. Whatever it runs ends with the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{
		dir: t.TempDir(), libexec: libexec, api: newFakeAPI(), accounts: newFakeAccounts(),
		first: int(firstPorts.Add(portsEach)), //nolint:gosec // small
	}
	w.open(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		w.cluster.Stop(ctx)
	})
	return w
}

func (w *world) open(t *testing.T) {
	t.Helper()
	var err error
	w.cluster, err = process.Open(process.Options{
		Dir: w.dir, Libexec: w.libexec, Address: []string{filepath.Join(libexec, "address")}, NATSURL: "nats://127.0.0.1:1",
		PublicHost: "127.0.0.1", FirstGRPCPort: w.first, FirstHTTPPort: w.first + portsEach/2, Accounts: w.accounts,
		PrepareAgain: time.Second,
		Dial:         func(string) (process.RuntimeAPI, error) { return w.api, nil },
	})
	require.NoError(t, err)
}

// again closes the cluster, which leaves everything running, and opens it once more.
func (w *world) again(t *testing.T) {
	t.Helper()
	w.cluster.Close()
	w.open(t)
}

// Each test has ports of its own, which neither the system gives to whoever asks for any nor ports.Pick does, so that they
// are free again when they were.
const portsEach = 20

var firstPorts = func() *atomic.Int64 {
	var first atomic.Int64
	first.Store(10_000 + rand.Int64N(300)*portsEach)
	return &first
}()

// status is what is observed of the runtime prices.
func (w *world) status(t *testing.T) lifecycle.RuntimeStatus {
	t.Helper()
	s, err := w.cluster.Observe(t.Context(), "prices")
	require.NoError(t, err)
	return s
}

func (w *world) version(t *testing.T, name string) lifecycle.VersionStatus {
	t.Helper()
	for _, v := range w.status(t).Versions {
		if v.Name == name {
			return v
		}
	}
	return lifecycle.VersionStatus{}
}

// wait waits until what is observed is as it should be, and returns it.
func (w *world) wait(t *testing.T, what string, is func(s lifecycle.RuntimeStatus) bool) lifecycle.RuntimeStatus {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		s := w.status(t)
		if is(s) {
			return s
		}
		if time.Now().After(end) {
			require.FailNow(t, "never observed: "+what, "%+v", s)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *world) waitPhase(t *testing.T, version string, phase lifecycle.Phase) lifecycle.VersionStatus {
	t.Helper()
	var found lifecycle.VersionStatus
	w.wait(t, fmt.Sprintf("%s is %s", version, phase), func(s lifecycle.RuntimeStatus) bool {
		for _, v := range s.Versions {
			if v.Name == version {
				found = v
			}
		}
		return found.Phase == phase
	})
	return found
}

func (w *world) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	w.wait(t, what, func(lifecycle.RuntimeStatus) bool { return is() })
}

// runtime makes the runtime prices, and waits until it is ready.
func (w *world) runtime(t *testing.T) {
	t.Helper()
	require.NoError(t, w.cluster.ApplyRuntime(t.Context(), lifecycle.Runtime{Name: "prices", Revision: 1}))
	w.wait(t, "ready", func(s lifecycle.RuntimeStatus) bool { return s.Phase == lifecycle.Ready })
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir, "runtimes", "prices"}, parts...)...)
}

func (w *world) record(t *testing.T, version, name string) proc.Record {
	t.Helper()
	r, err := proc.ReadRecord(w.path("versions", version, "state", name+".json"))
	require.NoError(t, err)
	return r
}

func (w *world) log(t *testing.T, version, name string) string {
	t.Helper()
	content, err := os.ReadFile(w.path("versions", version, "logs", name+".log"))
	require.NoError(t, err)
	return string(content)
}

func (w *world) leads(t *testing.T) (to struct{ GRPC, HTTP string }) {
	t.Helper()
	content, err := os.ReadFile(w.path("address.ack.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &to))
	return to
}

// good is a node that is ready at once and ends when it is told to.
const good = `#!/bin/sh
trap 'rm -f "$KRE_READY_FILE"; echo bye; exit 0' TERM
echo "color $COLOR $(cat "$CERT" 2>/dev/null)"
touch "$KRE_READY_FILE"
while :; do sleep 0.02; done
`

// packed is the package of a version whose nodes are a and b. b is good unless it is given.
func packed(version string, b ...string) pack {
	p := pack{
		"krt.yml": strings.Replace(`version: VERSION
config: {variables: [COLOR], files: [CERT]}
workflows:
  - name: work
    entrypoint: Work
    exitpoint: b
    nodes:
      - {name: a, image: i, src: bin/a, subscriptions: [entrypoint], replicas: 2, config: []}
      - {name: b, image: i, src: bin/b, subscriptions: [a], startTimeout: 2s}
`, "VERSION", version, 1),
		"public_input.proto": `syntax = "proto3"; package p; service S { rpc Work(M) returns (M); } message M {}`,
		"bin/a":              good,
		"bin/b":              good,
	}
	if len(b) > 0 {
		p["bin/b"] = b[0]
	}
	return p
}

// upload stores a package, as runtime-api would have it.
func (w *world) upload(version string, p pack) string {
	w.api.set(func(a *fakeAPI) { a.packages[version] = p })
	return p.digest()
}

// desired is a version that should run.
func desired(name string, revision int64, digest string) lifecycle.Version {
	return lifecycle.Version{
		Runtime: "prices", Name: name, Revision: revision, Digest: digest, Running: true, Drain: 2 * time.Second,
		Variables: map[string]string{"COLOR": "blue"}, Files: map[string][]byte{"CERT": []byte("cert")},
	}
}

// start makes a version run, and returns what should be.
func (w *world) start(t *testing.T, name string) lifecycle.Version {
	t.Helper()
	v := desired(name, 1, w.upload(name, packed(name)))
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.waitPhase(t, name, lifecycle.Started)
	return v
}

func (w *world) publish(t *testing.T, revision int64, version string) {
	t.Helper()
	require.NoError(t, w.cluster.ApplyRuntime(t.Context(),
		lifecycle.Runtime{Name: "prices", Revision: revision, PublishedVersion: version}))
}

// processes are the names of those of a version started by start.
var processes = []string{"entrypoint-0", "work.a-0", "work.a-1", "work.b-0"}

func (w *world) pids(t *testing.T, version string) map[string]int {
	t.Helper()
	pids := make(map[string]int)
	for _, name := range processes {
		r := w.record(t, version, name)
		require.Truef(t, r.Runs(), "%s: %+v", name, r)
		pids[name] = r.PID
	}
	return pids
}
