//go:build linux

package e2e_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/konstellation-io/kre/e2e/harness"
)

// offlineDir is set where this test runs without a network: to the folder that holds the packages.
const offlineDir = "KRE_E2E_OFFLINE"

// TestPackagesRunWithoutANetwork packs with a network and runs without one: the test starts itself again in a network
// namespace that has the loopback interface and nothing else, with empty caches.
func TestPackagesRunWithoutANetwork(t *testing.T) {
	if dir := os.Getenv(offlineDir); dir != "" {
		runOffline(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	harness.MustKre(t, trainedExample(t), "pack", "-o", filepath.Join(dir, "packed.krt"))

	byHand := harness.Testdata(t, "steps", harness.Python)
	onlyChain(t)(byHand)
	stdout, stderr, code := harness.Command(t, byHand.Dir, "tar", "czf", filepath.Join(dir, "by-hand.krt"), ".")
	require.Zero(t, code, stdout+stderr)

	self, err := os.Executable()
	require.NoError(t, err)
	inside := exec.CommandContext(t.Context(), self, "-test.run=^TestPackagesRunWithoutANetwork$", "-test.v")
	inside.Env = append(withoutCaches(t), offlineDir+"="+dir)
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		inside.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	printed, err := inside.CombinedOutput()
	require.NoError(t, err, "as root, or where users may make network namespaces, this has to work:\n%s", printed)
	require.Contains(t, string(printed), "--- PASS: TestPackagesRunWithoutANetwork")
}

// withoutCaches is the environment with fresh folders for everything that is kept between runs, and without settings
// that could name another source of packages.
func withoutCaches(t *testing.T) []string {
	t.Helper()
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "PIP_") && !strings.HasPrefix(name, "UV_") {
			env = append(env, pair)
		}
	}
	home := t.TempDir()
	return append(env, "HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"), "KRE_CACHE="+filepath.Join(home, "kre"),
		"KRE_BIN="+filepath.Dir(harness.Program(t, "kre")))
}

func runOffline(t *testing.T, dir string) {
	raiseLoopback(t)
	interfaces, err := net.Interfaces()
	require.NoError(t, err)
	require.Len(t, interfaces, 1, "there is a network")

	t.Run("a packed example", func(t *testing.T) {
		run := harness.Ready(t, harness.Options{Target: filepath.Join(dir, "packed.krt"), Args: []string{"--env", "CURRENCY=EUR"}})
		require.Regexp(t, `^\{"price":\s*\d{4},\s*"currency":\s*"EUR"\}$`, run.MustJSON(t, "price.Price/Estimate", `{"carat":1}`))
	})
	t.Run("a package made by hand", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "record")
		run := harness.Ready(t, harness.Options{Target: filepath.Join(dir, "by-hand.krt"), Args: []string{"--env", "RECORD=" + record}})
		require.JSONEq(t, `{"id":"h","path":["first","second","third"],"note":""}`, run.MustJSON(t, "steps.Steps/Chain", `{"id":"h"}`))
	})
}

// raiseLoopback makes 127.0.0.1 usable in a new network namespace.
func raiseLoopback(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(socket)) }()
	loopback, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(t, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback))
}
