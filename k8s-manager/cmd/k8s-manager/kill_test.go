package main_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

// caller calls the stable address without a pause, over a connection that it keeps and over fresh ones.
type caller struct {
	url    string
	calls  atomic.Int64
	failed atomic.Pointer[error]
	last   atomic.Pointer[string]
}

func (c *caller) run(ctx context.Context, keep bool) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}, Timeout: patience}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		answer, err := c.call(client)
		if err != nil {
			c.failed.Store(&err)
			return
		}
		c.last.Store(&answer)
		c.calls.Add(1)
		time.Sleep(time.Millisecond) // the machine has others to serve
	}
}

func (c *caller) call(client *http.Client) (string, error) {
	response, err := client.Get(c.url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: %s: %s", errNoVersion, response.Status, body)
	}
	return string(body), nil
}

// TestKilledAtAnyMomentItFinishesWhatWasBegun kills k8s-manager again and again while versions are started, published over
// each other and stopped.
func TestKilledAtAnyMomentItFinishesWhatWasBegun(t *testing.T) {
	const kills = 10
	m := newMachine(t)
	call(m, m.client.ApplyRuntime, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: 1})
	m.wait("ready", func(s *managerv1.RuntimeStatus) bool { return s.GetPhase() == managerv1.RuntimeStatus_PHASE_READY })
	revision := int64(1)
	digests := map[string]string{"v1": m.upload("v1"), "v2": m.upload("v2")}
	apply := func(version string, running bool) {
		revision++
		call(m, m.client.ApplyVersion, &managerv1.ApplyVersionRequest{
			Runtime: "prices", Version: version, Revision: revision, Digest: digests[version], Running: running, DrainSeconds: 1,
		})
	}
	publish := func(version string) {
		revision++
		call(m, m.client.ApplyRuntime, &managerv1.ApplyRuntimeRequest{Runtime: "prices", Revision: revision, PublishedVersion: version})
	}
	apply("v2", true)
	m.waitPhase("v2", managerv1.VersionStatus_PHASE_STARTED)
	publish("v2")
	s := m.wait("published", func(s *managerv1.RuntimeStatus) bool { return s.GetPublishedVersion() == "v2" })

	callers := &caller{url: s.GetHttpAddress()}
	calling, endCalls := context.WithCancel(context.Background())
	called := make(chan struct{}, 2)
	for _, keep := range []bool{true, false} {
		go func() {
			callers.run(calling, keep)
			called <- struct{}{}
		}()
	}
	var killed atomic.Int64
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range kills {
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond) // a random moment is what is wanted
			m.end(syscall.SIGKILL)
			m.start()
			killed.Add(1)
		}
	}()
	rounds := 0
	for ; killed.Load() < kills; rounds++ {
		next, before := []string{"v1", "v2"}[rounds%2], []string{"v2", "v1"}[rounds%2]
		apply(next, true)
		m.waitPhase(next, managerv1.VersionStatus_PHASE_STARTED)
		publish(next)
		m.wait("published", func(s *managerv1.RuntimeStatus) bool { return s.GetPublishedVersion() == next })
		apply(before, false)
		m.waitPhase(before, managerv1.VersionStatus_PHASE_STOPPED)
	}
	<-over
	endCalls()
	<-called
	<-called
	if failed := callers.failed.Load(); failed != nil {
		require.NoError(t, *failed, "a call failed")
	}
	require.Positive(t, callers.calls.Load())
	t.Logf("%d kills, %d rounds, %d calls, none failed", kills, rounds, callers.calls.Load())

	published, stopped := []string{"v2", "v1"}[rounds%2], []string{"v1", "v2"}[rounds%2]
	end := m.wait("the truth", func(s *managerv1.RuntimeStatus) bool {
		return s.GetPhase() == managerv1.RuntimeStatus_PHASE_READY && s.GetPublishedVersion() == published
	})
	require.Equal(t, managerv1.VersionStatus_PHASE_STARTED, find(end, published).GetPhase())
	require.Equal(t, managerv1.VersionStatus_PHASE_STOPPED, find(end, stopped).GetPhase())
	require.Equal(t, published, *callers.last.Load())
	require.Eventually(t, func() bool { return !strings.Contains(read(t, m, "runtime.json"), "moving") }, patience, 5*time.Millisecond)
	require.Equal(t, []string{"entrypoint", "k8s-manager", "node", "runtime-api"}, m.running(), "one of each that should be")
	require.Empty(t, m.halfWritten())

	call(m, m.client.DeleteRuntime, &managerv1.DeleteRuntimeRequest{Runtime: "prices"})
	m.end(syscall.SIGKILL)
	m.start()
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(m.dir, "runtimes", "prices"))
		return os.IsNotExist(err)
	}, patience, 5*time.Millisecond)
	require.Empty(t, m.running())
}

func read(t *testing.T, m *machine, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(m.dir, "runtimes", "prices", name))
	require.NoError(t, err)
	return string(content)
}

// running are the base names of the programs that run for the runtime, sorted: the processes whose environment names its
// directory.
func (m *machine) running() []string {
	m.t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(m.t, err)
	found := make(map[string]int)
	for _, name := range commands {
		environ, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(environ), filepath.Join(m.dir, "runtimes", "prices")) {
			continue // gone, or not ours
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if err != nil || len(command) == 0 {
			continue
		}
		args := strings.Split(string(command), "\x00")
		program := filepath.Base(args[0])
		if program == "sh" && len(args) > 1 {
			program = filepath.Base(args[1])
		}
		if program != "sleep" { // which a node's script starts
			found[program]++
		}
	}
	var names []string
	for _, program := range []string{"entrypoint", "k8s-manager", "node", "runtime-api"} {
		for range found[program] {
			names = append(names, program)
		}
	}
	return names
}

// halfWritten are files that are being written, or should be.
func (m *machine) halfWritten() []string {
	m.t.Helper()
	var found []string
	err := filepath.WalkDir(m.dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(filepath.Base(path), ".") {
			found = append(found, path)
		}
		return nil
	})
	require.NoError(m.t, err)
	removed, err := os.ReadDir(filepath.Join(m.dir, "removed"))
	if err == nil {
		for _, entry := range removed {
			found = append(found, entry.Name())
		}
	}
	return found
}
