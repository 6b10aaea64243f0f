package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// ask stores an ordinary message of a caller for the node.
func (v *version) ask(c *caller, node plan.Node, all ...any) wire.Message {
	v.t.Helper()
	m := scenario{Input: input{Sender: wire.SenderEntrypoint, Kind: wire.OK, Steps: all}}.message(v.t, v, c)
	v.store(node, m)
	return m
}

func send(text string) map[string]any { return map[string]any{"send": text} }

func waitFor(file string) map[string]any { return map[string]any{"wait_for": file} }

// texts returns what a stream holds since a sequence, each text with how often it is there.
func (v *version) texts(stream string) map[string]int {
	v.t.Helper()
	all := make(map[string]int)
	for _, out := range v.since(stream, 0) {
		if out.Kind == wire.OK {
			all[textOf(v.t, out.Body)]++
		} else {
			all[string(out.Kind)]++
		}
	}
	return all
}

// answers returns what the node says to the broker about its messages from now on.
func (v *version) answers(source plan.Source) <-chan string {
	v.t.Helper()
	answers := make(chan string, 10_000)
	_, err := v.nc.Subscribe("$JS.ACK."+source.Stream+"."+source.Consumer+".>", func(msg *nats.Msg) { answers <- string(msg.Data) })
	require.NoError(v.t, err)
	require.NoError(v.t, v.nc.Flush())
	return answers
}

func TestReadyFileComesAndGoesWithTheNode(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		p := l.run(v, v.node("first"), "untyped").waitReady()
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.Zero(t, p.code())
		_, err := os.Stat(p.ready)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestNodeWithoutItsConsumerSaysSoAndEnds(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("second")
		missing := node.Sources[1]
		require.NoError(t, v.js.DeleteConsumer(t.Context(), missing.Stream, missing.Consumer))
		p := l.run(v, node, "untyped")
		require.NotZero(t, p.code())
		require.Contains(t, p.output(), missing.Consumer)
		require.Contains(t, p.output(), missing.Stream)
		_, err := os.Stat(p.ready)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestNodeWaitsForTheBroker(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		v.stop()
		node := v.node("first")
		l.run(v, node, "untyped")
		v.start()
		v.ask(v.caller(), node, send("late"))
		v.settled(node)
		require.Equal(t, map[string]int{"late": 1}, v.texts(node.Output.Stream))
	})
}

func TestTerminatedNodeFinishesWhatItRunsAndGivesBackTheRest(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		p := l.run(v, node, "untyped").waitReady()
		_, source := v.inbox(node)
		// Quick ones first, so that the node knows itself to be fast and holds many.
		for i := range 30 {
			v.ask(c, node, send("warm "+strconv.Itoa(i)))
		}
		v.settled(node)
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(c, node, waitFor(file), send("slow"))
		for i := range 30 {
			v.ask(c, node, send(strconv.Itoa(i)))
		}
		v.eventually(func() bool { return v.ackPending(source) > 1 }, "it holds more than it runs")
		answers := v.answers(source)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		v.eventually(func() bool {
			for len(answers) > 0 {
				if <-answers == "-NAK" {
					return true
				}
			}
			return false
		}, "it gives back what it has not begun")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.Zero(t, p.code())
		require.Equal(t, 1, v.texts(node.Output.Stream)["slow"])
		l.run(v, node, "untyped")
		v.settled(node)
		require.Len(t, v.texts(node.Output.Stream), 61)
	})
}

func TestKilledNodeLosesNothing(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		p := l.run(v, node, "untyped")
		const many = 150
		for i := range many {
			v.ask(c, node, send(strconv.Itoa(i)))
			if i%50 == 25 {
				v.eventually(func() bool { return v.last(node.Output.Stream) > uint64(i/2) }, "it is at work")
				p.kill()
				p = l.run(v, node, "untyped")
			}
		}
		v.settled(node)
		all := v.texts(node.Output.Stream)
		require.Len(t, all, many)
		for text, count := range all {
			require.Equal(t, 1, count, text)
		}
		require.Zero(t, v.last(node.DeadLetters.Stream))
	})
}

func TestMessageIsKeptInProgressWhileItIsHeld(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		_, source := v.inbox(node)
		answers := v.answers(source)
		l.run(v, node, "untyped").waitReady()
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(v.caller(), node, waitFor(file), send("slow"))
		// Six of them take longer than the broker waits for an acknowledgement.
		for range 6 {
			require.Equal(t, "+WPI", <-answers)
		}
		require.Zero(t, v.known(source).NumRedelivered)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.Equal(t, map[string]int{"slow": 1}, v.texts(node.Output.Stream))
	})
}

// Signs of life are not the author's process's to give.
func TestHandlerThatLetsNothingElseRunKeepsItsMessage(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		_, source := v.inbox(node)
		p := l.run(v, node, "untyped").waitReady()
		other := l.run(v, node, "untyped").waitReady()
		// Longer than the broker waits for an acknowledgement, twice.
		v.ask(v.caller(), node, map[string]any{"hold": 5}, send("held"))
		v.settled(node)
		require.Equal(t, map[string]int{"held": 1}, v.texts(node.Output.Stream))
		require.Zero(t, v.known(source).NumRedelivered)
		require.Zero(t, v.last(node.DeadLetters.Stream))
		require.NotContains(t, p.output()+other.output(), "started again")
	})
}

func TestRedeliveryOfWhatIsHeldIsDropped(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		_, source := v.inbox(node)
		l.run(v, node, "untyped").waitReady()
		// Quick ones first, so that the node has asked for more than it holds.
		for i := range 30 {
			v.ask(c, node, send("warm "+strconv.Itoa(i)))
		}
		v.settled(node)
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(c, node, waitFor(file), send("slow"))
		v.eventually(func() bool { return v.ackPending(source) == 1 }, "it holds the message")
		info := v.known(source)
		refuse := "$JS.ACK." + source.Stream + "." + source.Consumer + ".1." + strconv.FormatUint(info.Delivered.Stream, 10) + "." +
			strconv.FormatUint(info.Delivered.Consumer, 10) + ".1.0"
		require.NoError(t, v.nc.Publish(refuse, []byte("-NAK")))
		v.eventually(func() bool { return v.known(source).NumRedelivered == 1 }, "it is delivered again")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.Equal(t, 1, v.texts(node.Output.Stream)["slow"])
		require.EqualValues(t, 31, v.last(node.Output.Stream))
	})
}

func TestMessageThatWaitsForItsNextAttemptLetsOthersGoOn(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		node.MaxAttempts = 7
		l.run(v, node, "untyped").waitReady()
		v.ask(c, node, map[string]any{"fail": "not yet", "until": 6}, send("patient"))
		v.ask(c, node, send("quick"))
		v.settled(node)
		outs := v.since(node.Output.Stream, 0)
		require.Len(t, outs, 2)
		require.Equal(t, "quick", textOf(t, outs[0].Body))
		require.Equal(t, "patient", textOf(t, outs[1].Body))
	})
}

func TestBrokerThatRestartsLosesNothing(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		p := l.run(v, node, "untyped").waitReady()
		const many = 150
		for i := range many {
			if i%50 == 25 {
				v.restart()
			}
			v.ask(c, node, map[string]any{"early_reply": strconv.Itoa(i)}, send(strconv.Itoa(i)))
		}
		v.settled(node)
		outs, answered := make(map[string]bool), make(map[string]bool)
		for _, out := range v.since(node.Output.Stream, 0) {
			if out.Kind == wire.OK {
				outs[textOf(t, out.Body)] = true
			}
			answered[out.RequestID] = len(c.to(out.RequestID)) > 0
		}
		require.Len(t, outs, many)
		for id, yes := range answered {
			require.True(t, yes, "request %s is answered", id)
		}
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.Zero(t, p.code())
	})
}

func TestFullStreamPushesBackAndRecovers(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t, func(p *plan.Plan) {
			for i := range p.Streams {
				if p.Streams[i].Name == "node_conformance-v1_flow_first" {
					p.Streams[i].MaxEach = 5
				}
			}
		})
		c := v.caller()
		node := v.node("first")
		_, source := v.inbox(node)
		l.run(v, node, "untyped").waitReady()
		for i := range 12 {
			v.ask(c, node, send(strconv.Itoa(i)))
		}
		for range 2 {
			v.eventually(func() bool {
				info := v.known(source)
				return v.state(node.Output.Stream).Msgs == 5 && info.NumAckPending+int(info.NumPending) > 0
			}, "the stream is full")
			stream, err := v.js.Stream(t.Context(), node.Output.Stream)
			require.NoError(t, err)
			require.NoError(t, stream.Purge(t.Context()))
		}
		v.settled(node)
		require.EqualValues(t, 12, v.last(node.Output.Stream))
		require.Zero(t, v.last(node.DeadLetters.Stream))
	})
}

// A worker is sent runs ahead of time, where they may expire.
func TestWhatExpiresBehindABusyHandlerIsNotRun(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		l.run(v, node, "untyped").waitReady()
		for range 50 { // so that the handler is known to be fast
			v.ask(c, node, send("fast"))
		}
		v.settled(node)
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(c, node, waitFor(file), send("slow"))
		const wait = 500 * time.Millisecond
		for _, gone := range []bool{true, false} {
			m := scenario{Input: input{Sender: wire.SenderEntrypoint, Kind: wire.OK, Gone: gone, Steps: []any{send(fmt.Sprint("gone: ", gone))}}}.message(t, v, c)
			m.Timeout = wait
			v.store(node, m)
		}
		time.Sleep(2 * wait)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.Equal(t, map[string]int{"fast": 50, "slow": 1, "gone: false": 1}, v.texts(node.Output.Stream))
		require.Zero(t, v.last(node.DeadLetters.Stream))
	})
}

func TestSecondRunAddsNothing(t *testing.T) {
	for name, earlier := range map[string][]any{
		"to one output":      {send("one")},
		"to several outputs": {send("one"), send("two")},
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, l language) {
				v := newVersion(t)
				c := v.caller()
				node := v.node("first")
				l.run(v, node, "untyped").waitReady()
				m := v.ask(c, node, earlier...)
				v.settled(node)
				v.unpacked(node.Output.Stream)
				before := v.last(node.Output.Stream)
				for _, again := range [][]any{{send("other")}, {send("other"), send("another")}} {
					m.Body = steps(t, again...)
					v.store(node, m)
					v.settled(node)
				}
				require.Equal(t, before, v.last(node.Output.Stream))
				// Not even its failure counts.
				m.Body = steps(t, map[string]any{"final": "no"})
				v.store(node, m)
				v.settled(node)
				require.Equal(t, before, v.last(node.Output.Stream))
				require.Zero(t, v.last(node.DeadLetters.Stream))
				for _, reply := range c.to(m.RequestID) {
					require.Equal(t, wire.AttemptFailed, reply.Kind)
				}
			})
		})
	}
}

func TestFailureAfterASuccessThatIsConsumedHasNoConsequence(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		l.run(v, node, "untyped").waitReady()
		m := v.ask(c, node, send("one"))
		v.settled(node)
		stream, err := v.js.Stream(t.Context(), node.Output.Stream)
		require.NoError(t, err)
		require.NoError(t, stream.Purge(t.Context())) // as if all subscribers had acknowledged it
		m.Body = steps(t, map[string]any{"final": "no"})
		v.store(node, m)
		v.settled(node)
		require.EqualValues(t, 1, v.last(node.Output.Stream))
		require.Zero(t, v.last(node.DeadLetters.Stream))
		for _, reply := range c.to(m.RequestID) {
			require.Equal(t, wire.AttemptFailed, reply.Kind)
		}
	})
}

func TestErrorThatAProcessStoredBeforeItDiedIsFinishedByTheNext(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		m := scenario{Input: input{Sender: "other", Kind: wire.OK, Steps: []any{map[string]any{"final": "no"}}}}.message(t, v, c)
		run := wire.RunID(m.ID, node.Workflow, node.ID, 0)
		out := m
		out.ID, out.Kind, out.Sender = wire.OutputID(run, 0), wire.Error, node.Node
		header := nats.Header(out.Header())
		header.Set(nats.MsgIdHdr, run)
		_, err := v.js.PublishMsg(t.Context(), &nats.Msg{Subject: node.Output.Error, Header: header, Data: failureBody(t)})
		require.NoError(t, err)
		v.store(node, m)
		l.run(v, node, "untyped")
		v.settled(node)
		require.EqualValues(t, 1, v.last(node.Output.Stream))
		require.EqualValues(t, 1, v.last(node.DeadLetters.Stream))
		v.eventually(func() bool { return len(c.to(m.RequestID)) == 2 }, "the caller learns it")
		require.Equal(t, wire.Error, c.to(m.RequestID)[1].Kind)
	})
}

func failureBody(t *testing.T) []byte {
	t.Helper()
	body, err := wire.Failure{Node: "first", Workflow: "flow", Attempts: 1, Text: "no"}.Body()
	require.NoError(t, err)
	return body
}

func TestReplyIsRepeatedUntilItIsConfirmed(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		c.leaveUnconfirmed(2)
		node := v.node("last")
		l.run(v, node, "untyped").waitReady()
		m := v.ask(c, node, send("hello"))
		v.settled(node)
		require.GreaterOrEqual(t, len(c.to(m.RequestID)), 3)
	})
}

func TestReplyNobodyListensForIsGivenUp(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("last")
		l.run(v, node, "untyped").waitReady()
		gone := &caller{v: v, subject: v.plan.Entrypoint.ReplyTo + ".gone"}
		v.ask(gone, node, send("hello"))
		// It does not hold up what comes after it.
		m := v.ask(c, node, send("hello"))
		v.eventually(func() bool { return len(c.to(m.RequestID)) == 1 }, "the other caller is answered")
		v.settled(node)
	})
}

// deliver has the broker deliver the node's next message n times to somebody who refuses it.
func (v *version) deliver(source plan.Source, n int) {
	v.t.Helper()
	c, err := v.js.Consumer(v.t.Context(), source.Stream, source.Consumer)
	require.NoError(v.t, err)
	for range n {
		msg, err := c.Next()
		require.NoError(v.t, err)
		require.NoError(v.t, msg.Nak())
	}
	require.NoError(v.t, v.nc.Flush())
}

func TestStartOfASuspiciousMessageIsRecordedWhileItRuns(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("first")
		_, source := v.inbox(node)
		file := filepath.Join(t.TempDir(), "go on")
		m := v.ask(v.caller(), node, waitFor(file), send("done"))
		v.deliver(source, 2)
		l.run(v, node, "untyped")
		bucket, err := v.js.KeyValue(t.Context(), node.Starts)
		require.NoError(t, err)
		key := node.ID + "." + m.ID
		value := func() string {
			entry, err := bucket.Get(t.Context(), key)
			if err != nil {
				require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
				return ""
			}
			return string(entry.Value())
		}
		v.eventually(func() bool { return value() == "1" }, "its start is recorded")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		v.eventually(func() bool { return value() == "" }, "the record is removed")
		require.Equal(t, map[string]int{"done": 1}, v.texts(node.Output.Stream))
	})
}

func TestPoisonMessageBecomesOneDeadLetterAndHarmsNoOther(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		const good = 100
		var poison wire.Message
		for i := range good {
			if i == good/2 {
				poison = v.ask(c, node, map[string]any{"end": true})
			}
			v.ask(c, node, send(strconv.Itoa(i)))
		}
		deaths := 0
		p := l.run(v, node, "untyped")
		v.eventually(func() bool {
			select {
			case <-p.ended: // as a supervisor does
				deaths++
				p = l.run(v, node, "untyped")
			default:
			}
			return v.done(node)
		}, "everything is acknowledged")
		ended, counted := 5, "5" // of these, the first two are not recorded
		if l.worker {
			ended, counted = 0, "3" // the runner sees each
		}
		require.Equal(t, ended, deaths)
		all := v.texts(node.Output.Stream)
		require.Equal(t, 1, all["error"])
		require.Len(t, all, good+1)
		letters := v.since(node.DeadLetters.Stream, 0)
		require.Len(t, letters, 1)
		require.Equal(t, poison.ID, letters[0].ID)
		require.Equal(t, "the process ended "+counted+" times while it handled this message", letters[0].header.Get(wire.HeaderError))
		require.Equal(t, counted, letters[0].header.Get(wire.HeaderAttempts))
		v.eventually(func() bool { return len(c.to(poison.RequestID)) == 1 }, "the caller learns it")
	})
}

// The entrypoint has gone first, and the node has to go too: that nobody can be answered now settles nothing.
func TestAReplyThatFindsNobodyWhileItsNodeEndsStaysStored(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		node := v.node("last")
		p := l.run(v, node, "untyped").waitReady()
		_, source := v.inbox(node)
		gone := &caller{v: v, subject: v.plan.Entrypoint.ReplyTo + ".one"}
		begun, file := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "go on")
		asked := v.ask(gone, node, map[string]any{"touch": begun}, waitFor(file), send("late"))
		v.eventually(func() bool { _, err := os.Stat(begun); return err == nil }, "the handler runs")
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.Zero(t, p.code(), p.output())
		require.Less(t, v.known(source).AckFloor.Stream, v.sent[node.ID])

		c := v.caller()
		l.run(v, node, "untyped")
		v.settled(node)
		replies := c.to(asked.RequestID)
		require.NotEmpty(t, replies)
		require.Equal(t, wire.OK, replies[len(replies)-1].Kind)
	})
}
