package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/konstellation-io/kre/e2e/harness"
)

// victim is a process that is killed: of a node in Go it is the node, of one in Python the runner or its worker.
type victim struct {
	node    string
	program func(name string) bool
}

func isRunner(name string) bool    { return name == "runner" }
func isNotRunner(name string) bool { return name != "runner" }

func (f *fanOut) victims() []victim {
	all := []victim{
		{"first", isNotRunner}, {"second", isRunner}, {"second", isNotRunner}, {"third", isNotRunner}, {"listener", isNotRunner},
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// moment is a random time, up to so long.
func moment(atMost time.Duration) { time.Sleep(rand.N(atMost)) }

// killNodes kills one process after the other, each when all is well again after the one before, so that a call waits for one
// death only. The order stays, so that none dies again so soon that its supervisor makes a pause of it.
func killNodes(t *testing.T, f *fanOut, load *askers, until time.Time) (killed int) {
	t.Helper()
	victims := f.victims()
	for ; time.Now().Before(until); killed++ {
		moment(2 * time.Second)
		v := victims[killed%len(victims)]
		died := time.Now()
		before := f.kill(t, v)
		f.waitBack(t, v, before)
		load.waitWell(t, died, v.node+" was killed")
	}
	return killed
}

func (f *fanOut) kill(t *testing.T, v victim) (pid int) {
	t.Helper()
	harness.Eventually(t, v.node+" is killed", func() (bool, string) { // it may just be starting
		found, _ := f.process(t, v)
		pid = found
		return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil, ""
	})
	return pid
}

// waitBack waits until another process has taken the place of a killed one.
func (f *fanOut) waitBack(t *testing.T, v victim, before int) {
	t.Helper()
	harness.Eventually(t, v.node+" is ready again", func() (bool, string) {
		pid, ready := f.process(t, v)
		if pid == 0 || pid == before {
			return false, fmt.Sprint(pid)
		}
		_, err := os.Stat(ready)
		return err == nil, fmt.Sprint(err)
	})
}

// process is the live process of a victim, and the ready file of its node.
func (f *fanOut) process(t *testing.T, v victim) (pid int, ready string) {
	t.Helper()
	for _, p := range f.engine.Processes("") {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		environment := strings.Split(string(content), "\x00")
		if err != nil || !slices.Contains(environment, "STEP="+v.node) {
			continue
		}
		for _, setting := range environment {
			if file, found := strings.CutPrefix(setting, "KRE_READY_FILE="); found { // a worker has none of its own
				ready = file
			}
		}
		if v.program(p.Program) {
			pid = p.PID
		}
	}
	return pid, ready
}

func endBroker(t *testing.T, f *fanOut, load *askers, until time.Time) int {
	t.Helper()
	return restartBroker(t, f, load, until, func(int) syscall.Signal { return syscall.SIGTERM })
}

func killBroker(t *testing.T, f *fanOut, load *askers, until time.Time) int {
	t.Helper()
	return restartBroker(t, f, load, until, func(int) syscall.Signal { return syscall.SIGKILL })
}

// killBoth kills a process of a node each time, and soon after it the broker's, which is ended in both ways in turns. None is killed
// before it is ready: what the version needs of the broker would be made again, and the audit is no part of that.
func killBoth(t *testing.T, f *fanOut, load *askers, until time.Time) int {
	t.Helper()
	victims, waitBack := f.victims(), func() {}
	restarts := restartBroker(t, f, load, until, func(i int) syscall.Signal {
		waitBack()
		v := victims[i%len(victims)]
		before := f.kill(t, v)
		waitBack = func() { f.waitBack(t, v, before) }
		moment(200 * time.Millisecond)
		return []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]
	})
	waitBack()
	return restarts
}

// restartBroker ends the broker again and again, each time with the signal that it is told then, and starts it a little later.
func restartBroker(t *testing.T, f *fanOut, load *askers, until time.Time, with func(i int) syscall.Signal) (restarts int) {
	t.Helper()
	for ; time.Now().Before(until); restarts++ {
		moment(2 * time.Second)
		f.broker.End(with(restarts))
		moment(3 * time.Second)
		f.broker.Start()
		load.waitWell(t, time.Now(), "the broker was restarted")
	}
	return restarts
}
