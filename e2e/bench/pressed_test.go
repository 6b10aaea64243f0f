package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/konstellation-io/kre/e2e/harness"
	"github.com/konstellation-io/kre/kit/ports"
)

// connections to each entrypoint.
const connections = 4

// pressed is a version that is put under load: of the project testdata/overload, whose nodes write down their runs.
type pressed struct {
	run     *harness.Run
	project harness.Project
	record  harness.Record
	rpc     string // that is called
	conns   []*grpc.ClientConn
	more    []*exec.Cmd // processes beside those of kre
}

func startPressed(b *testing.B, rpc string) *pressed {
	b.Helper()
	project := harness.Copy(b, filepath.Join("testdata", "overload"))
	v := &pressed{project: project, record: harness.Record(filepath.Join(project.Dir, "..", "record")), rpc: rpc}
	v.run = harness.Ready(b, harness.Options{Target: project.Dir, Args: []string{"--no-watch", "--env", "RECORD=" + string(v.record)}})
	b.Cleanup(v.stopMore)
	return v
}

// connect has callers use an entrypoint, too.
func (v *pressed) connect(b *testing.B, address string) {
	b.Helper()
	var more []*grpc.ClientConn
	for range connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(b, err)
		b.Cleanup(func() { _ = conn.Close() }) // nobody waits for anything any more
		more = append(more, conn)
	}
	// In turns, so that callers are spread over the entrypoints evenly.
	turns := make([]*grpc.ClientConn, 0, len(v.conns)+len(more))
	each := len(v.conns) / connections
	for i := range connections {
		turns = append(append(turns, v.conns[i*each:(i+1)*each]...), more[i])
	}
	v.conns = turns
}

func (v *pressed) stop(b *testing.B) {
	b.Helper()
	v.stopMore()
	v.run.Stop(b)
}

func (v *pressed) stopMore() {
	for _, cmd := range v.more {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // by that signal
	}
	v.more = nil
}

// anotherEntrypoint starts one more process of the entrypoint and returns its address: `kre run` has but one.
func (v *pressed) anotherEntrypoint(b *testing.B) string {
	b.Helper()
	grpcPort, err := ports.Pick(nil)
	require.NoError(b, err)
	httpPort, err := ports.Pick(func(port int) bool { return port != grpcPort && ports.Free(ports.Loopback, port) })
	require.NoError(b, err)
	address := ports.Address(ports.Loopback, grpcPort)
	ready := v.another(b, "KRE_GRPC_ADDR="+v.run.Info.GRPC, "KRE_GRPC_ADDR="+address, "KRE_HTTP_ADDR="+ports.Address(ports.Loopback, httpPort))
	waitFile(b, ready)
	return address
}

// moreReplicas starts so many more processes of the node that is alone, and returns when each of them was ready. `kre run`
// does not change how many there are while it runs.
func (v *pressed) moreReplicas(b *testing.B, count int) []time.Time {
	b.Helper()
	var files []string
	for range count {
		files = append(files, v.another(b, "STEP=alone"))
	}
	var ready []time.Time
	for _, file := range files {
		waitFile(b, file)
		ready = append(ready, time.Now())
	}
	return ready
}

// another starts one more process like that which has a certain setting in its environment, with other settings besides,
// and returns the name of the file that it makes when it is ready.
func (v *pressed) another(b *testing.B, like string, settings ...string) string {
	b.Helper()
	ready := filepath.Join(v.project.Dir, "..", fmt.Sprintf("ready-%d", len(v.more)))
	cmd := v.likeOne(b, like)
	cmd.Env = append(cmd.Env, append(settings, "KRE_READY_FILE="+ready)...)
	require.NoError(b, cmd.Start())
	v.more = append(v.more, cmd)
	return ready
}

// likeOne is the command of a process of the version.
func (v *pressed) likeOne(b *testing.B, setting string) *exec.Cmd {
	b.Helper()
	for _, process := range harness.ProcessesOf(b, v.project.Dir) {
		proc := fmt.Sprintf("/proc/%d/", process.PID)
		content, err := os.ReadFile(proc + "environ")
		env := strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00")
		if err != nil || !slices.Contains(env, setting) {
			continue
		}
		path, err := os.Readlink(proc + "exe")
		require.NoError(b, err)
		cmd := exec.Command(path, process.Args...)
		cmd.Env = env
		cmd.Dir, err = os.Readlink(proc + "cwd")
		require.NoError(b, err)
		return cmd
	}
	require.FailNow(b, "no process of the version has the setting "+setting)
	return nil
}

func waitFile(b *testing.B, name string) {
	b.Helper()
	harness.Eventually(b, name+" is there", func() (bool, string) {
		_, err := os.Stat(name)
		return err == nil, fmt.Sprint(err)
	})
}

// wasted counts the runs that ended since a time, and tells which share of them ended when their caller had gone, at the
// node where it is largest. A caller has gone when it was told something else than the answer, or was refused.
func (v *pressed) wasted(b *testing.B, since time.Time, outcomes ...*outcome) (share float64, runs int) {
	b.Helper()
	seen := newOutcome()
	for _, o := range outcomes {
		seen.add(*o)
	}
	all, wasted := map[string]int{}, map[string]int{}
	for _, line := range v.record.Lines(b, "") {
		var node, id string
		var began, ended int64
		_, err := fmt.Sscan(line, &node, &id, &began, &ended)
		require.NoError(b, err, line)
		end := time.Unix(0, ended)
		if end.Before(since) {
			continue
		}
		all[node]++
		gone, waited := seen.gone[id]
		if !seen.answered[id] && (!waited || end.After(gone)) {
			wasted[node]++
		}
	}
	for node, n := range all {
		share = max(share, float64(wasted[node])/float64(n))
		runs += n
	}
	return share, runs
}
