package chaos

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	fanOutCallers = 32
	longestWait   = 3 * time.Second // of a caller when a node dies and the machine has time for us
	// storedPerCall are the messages of a call: that of the entry, and of each of the two that send twice a parcel and what is in it.
	storedPerCall = 1 + 2*3
)

// fanOut is a running version of testdata/fan-out in an engine whose broker is a process of its own, as it is on a cluster: the
// one that `kre up` embeds cannot be ended without ending `kre up`.
type fanOut struct {
	engine  *harness.Engine
	broker  *harness.Server
	runtime *adminv1.Runtime
	record  harness.Record // of the listener beside the chain
	audit   *audit
}

// While 32 callers call a workflow whose runs have two outputs, its nodes are killed, its broker is restarted, or both, on a quiet
// machine and on one that is kept busy. No call fails, nothing is lost, and nobody gets another's answer. Where only nodes die
// nothing is stored twice; a broker that was restarted has forgotten the ids of what it no longer holds.
func TestFanOutOutlivesNodesAndBroker(t *testing.T) {
	packed := packFanOut(t)
	scenarios := []struct {
		name  string
		hurt  func(t *testing.T, f *fanOut, load *askers, until time.Time) (deaths int)
		nodes bool // only nodes die
	}{
		{"kills", killNodes, true},
		{"sigterm", endBroker, false},
		{"sigkill", killBroker, false},
		{"both", killBoth, false},
	}
	for _, s := range scenarios {
		for _, machine := range []string{"quiet", "busy"} {
			t.Run(s.name+" "+machine, func(t *testing.T) {
				f := startFanOut(t, packed)
				release := func() {}
				if machine == "busy" {
					release = harness.Press(t)
				}
				load := f.ask(t, fanOutCallers)
				deaths := s.hurt(t, f, load, time.Now().Add(*duration/2))
				told := load.stop()
				name := "fanout_" + s.name + "_" + machine + "_"
				record(t, name+"deaths", float64(deaths), "")
				record(t, name+"load_average", harness.LoadAverage(), "")
				release()
				f.judge(t, name, told)
				if s.nodes {
					assert.Empty(t, head(f.audit.twice()), "stored twice")
				}
				if s.nodes && machine == "quiet" {
					assert.LessOrEqual(t, told.longest, longestWait, "the longest wait when a node dies")
				}
			})
		}
	}
}

func packFanOut(t *testing.T) string {
	t.Helper()
	project := harness.Copy(t, filepath.Join("testdata", "fan-out"))
	file := filepath.Join(project.Dir, "..", "fan-out.krt")
	harness.MustKre(t, project.Dir, "pack", ".", "-o", file)
	return file
}

func startFanOut(t *testing.T, packed string) *fanOut {
	t.Helper()
	const runtime, version = "fanned", "fan-out"
	dir := t.TempDir()
	operator := filepath.Join(dir, "operator")
	f := &fanOut{broker: harness.NATS(t, operator), record: harness.Record(filepath.Join(dir, "record"))}
	f.broker.Start()
	url := "nats://" + f.broker.Addr()
	f.engine = harness.NewEngine(t, "--nats-url="+url, "--nats-operator="+operator)
	f.runtime = f.engine.Runtime(t, runtime)
	f.engine.MustUpload(t, runtime, packed)
	f.engine.Set(t, runtime, version, map[string]string{"RECORD": string(f.record)})
	f.engine.MustStart(t, runtime, version)
	f.engine.MustPublish(t, runtime, version)
	f.audit = startAudit(t, f.engine.Broker(t, url, runtime, version))
	return f
}

// judge waits until everything has come to its end, tells what was seen, and fails the test where something is not as it must be.
func (f *fanOut) judge(t *testing.T, name string, told outcome) {
	t.Helper()
	f.audit.WaitIdle(t)
	letters := f.audit.Messages(t, "dead_")
	lost := f.lost(t, told)
	record(t, name+"sent", float64(told.sent), "")
	record(t, name+"answered", float64(len(told.answered)), "")
	record(t, name+"refused", float64(told.refused), "")
	record(t, name+"expired", float64(told.expired), "")
	record(t, name+"failed", float64(len(told.failed)), "0")
	record(t, name+"foreign", float64(len(told.foreign)), "0")
	record(t, name+"lost", float64(len(lost)), "0")
	record(t, name+"dead_letters", float64(len(letters)), "0")
	record(t, name+"stored", float64(f.audit.stored()), "")
	record(t, name+"stored_twice", float64(len(f.audit.twice())), "")
	record(t, name+"longest_wait_s", told.longest.Seconds(), told.longestAt.Format("at 15:04:05.000"))

	assert.NotEmpty(t, told.answered)
	assert.Empty(t, head(told.failed), "failed")
	assert.Empty(t, head(told.foreign), "answered with another's answer")
	assert.Equal(t, told.sent, len(told.answered)+told.refused+told.expired, "sent = answered + refused + expired")
	assert.Empty(t, head(lost), "answered, and lost on its way to the listener")
	assert.Empty(t, letters, "dead letters")
	assert.Empty(t, head(f.audit.problems), "messages that are none")
	assert.GreaterOrEqual(t, f.audit.stored(), storedPerCall*len(told.answered), "the audit saw everything that was stored for those who were answered")
	if t.Failed() {
		f.tell(t)
	}
}

// tell logs what the nodes and the entrypoint said.
func (f *fanOut) tell(t *testing.T) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(f.engine.Data, "runtimes", "*", "versions", "*", "logs", "*"))
	require.NoError(t, err)
	for _, file := range logs {
		t.Logf("%s:\n%s", filepath.Base(file), strings.Join(last(harness.Record(file).Lines(t, ""), 30), "\n"))
	}
}

// lost names what was answered and of which an output did not come to the listener.
func (f *fanOut) lost(t *testing.T, told outcome) (lost []string) {
	t.Helper()
	heard := make(map[string]bool)
	for _, line := range f.record.Lines(t, "") {
		heard[line] = true
	}
	for _, token := range told.answered {
		for _, node := range []string{"first", "second"} {
			if text := node + " " + token; !heard[text] {
				lost = append(lost, text+" was not heard")
			}
		}
	}
	return lost
}

// head is the beginning of a list that may be long.
func head(all []string) []string { return all[:min(len(all), 10)] }

// last is the end of a list that may be long.
func last(all []string, n int) []string { return all[max(0, len(all)-n):] }
