package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/objects"
	"github.com/konstellation-io/kre/krt/archive"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

// newRealMachine is a machine with the real programs and an object store.
func newRealMachine(t *testing.T) *machine {
	t.Helper()
	libexec, err := realPrograms()
	require.NoError(t, err)
	store, err := objects.Start(t.Context(), objects.Options{Dir: t.TempDir(), AccessKey: "kre", SecretKey: "not so secret"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return newMachine(t, "KRE_LIBEXEC="+libexec, "KRE_S3_ENDPOINT="+store.URL(), "KRE_S3_ACCESS_KEY=kre", "KRE_S3_SECRET_KEY=not so secret")
}

// send stores a version with the node in runtime-api, and returns its digest.
func (m *machine) send(version string) string {
	m.t.Helper()
	libexec, err := realPrograms()
	require.NoError(m.t, err)
	text := strings.Replace(`version: VERSION
config: {variables: [COLOR]}
workflows:
  - name: work
    entrypoint: Work
    exitpoint: one
    nodes:
      - {name: one, image: i, src: bin/one, subscriptions: [entrypoint], replicas: 2, env: {NAME: VERSION}}
`, "VERSION", version, 2)
	file := filepath.Join(m.t.TempDir(), "krt.yml")
	require.NoError(m.t, os.WriteFile(file, []byte(text), 0o600))
	var sources []archive.Source
	for path, name := range map[string]string{"krt.yml": file, "bin/one": filepath.Join(libexec, "node")} {
		info, err := os.Stat(name)
		require.NoError(m.t, err)
		sources = append(sources, archive.Source{Path: path, Name: name, Executable: path != "krt.yml", Size: info.Size()})
	}
	root := filepath.Join(m.t.TempDir(), "p")
	r, w := io.Pipe()
	go func() { _, err := archive.Write(context.Background(), w, sources, nil); w.CloseWithError(err) }()
	p, err := archive.Unpack(m.t.Context(), r, root, archive.UnpackOptions{})
	require.NoError(m.t, err)
	require.NoError(m.t, os.MkdirAll(filepath.Join(m.dir, "runtimes/prices/packages"), 0o755))
	require.NoError(m.t, os.Rename(root, filepath.Join(m.dir, "runtimes/prices/packages", p.Digest)))
	return p.Digest
}

// answers calls the version at a base URL.
func ask(client *http.Client, base string) (map[string]any, error) {
	response, err := client.Post(base+"/kre.Entrypoint/Work", "application/json", strings.NewReader(`{"question": 1}`))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s: %s", errNoVersion, response.Status, body)
	}
	answer := make(map[string]any)
	return answer, json.Unmarshal(body, &answer)
}

func TestTheWholeLifeOfVersionsWithTheRealPrograms(t *testing.T) {
	m := newRealMachine(t)
	call(m, m.client.ApplyRuntime, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 1})
	m.wait("ready", func(s *managerv1.RuntimeStatus) bool { return s.GetPhase() == managerv1.RuntimeStatus_PHASE_READY })
	digests := map[string]string{"v1": m.send("v1"), "v2": m.send("v2")}
	revision := int64(1)
	apply := func(version string, running bool, color string) {
		revision++
		call(m, m.client.ApplyVersion, &managerv1.ApplyVersionRequest{
			Runtime: "prices", Version: version, Revision: revision, Digest: digests[version], Running: running,
			Variables: map[string]string{"COLOR": color}, DrainSeconds: 20,
		})
	}
	publish := func(version string) {
		revision++
		call(m, m.client.ApplyRuntime, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: revision, PublishedVersion: version})
		m.wait("published", func(s *managerv1.RuntimeStatus) bool { return s.GetPublishedVersion() == version })
	}
	for _, version := range []string{"v1", "v2"} {
		apply(version, true, "blue")
		m.waitPhase(version, managerv1.VersionStatus_PHASE_STARTED)
	}
	publish("v1")
	address := m.status().GetHttpAddress()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := ask(fresh, address)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"question": 1.0, "color": "blue", "version": "v1"}, answer)

	// From here on somebody calls all the time, over connections that are kept.
	calling, endCalls := context.WithCancel(context.Background())
	var calls atomic.Int64
	var last atomic.Value
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for calling.Err() == nil {
				answer, err := ask(client, address)
				if err != nil {
					failed <- err
					return
				}
				calls.Add(1)
				last.Store(fmt.Sprint(answer["version"], " ", answer["color"]))
				time.Sleep(time.Millisecond) // the machine has others to serve
			}
			failed <- nil
		}()
	}
	everybodyGets := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return last.Load() == text }, patience, 5*time.Millisecond)
	}
	everybodyGets("v1 blue")
	publish("v2")
	everybodyGets("v2 blue")
	apply("v1", false, "blue")
	m.waitPhase("v1", managerv1.VersionStatus_PHASE_STOPPED)
	require.Zero(t, find(m.status(), "v1").GetStoredMessages())
	apply("v2", true, "red")
	everybodyGets("v2 red")
	m.waitPhase("v2", managerv1.VersionStatus_PHASE_STARTED)
	endCalls()
	for range cap(failed) {
		require.NoError(t, <-failed, "a call failed")
	}
	require.Positive(t, calls.Load())
	t.Logf("%d calls, none failed", calls.Load())

	publish("")
	_, err = ask(fresh, address)
	require.ErrorIs(t, err, errNoVersion)
	apply("v2", false, "red")
	m.waitPhase("v2", managerv1.VersionStatus_PHASE_STOPPED)
	call(m, m.client.DeleteVersion, &managerv1.DeleteVersionRequest{Runtime: "prices", Version: "v1"})
	m.wait("gone", func(s *managerv1.RuntimeStatus) bool { return find(s, "v1") == nil })
}
