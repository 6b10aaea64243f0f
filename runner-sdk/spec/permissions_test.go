package spec_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// complaint is how the broker tells of what is not permitted.
const complaint = "permissions violation"

func TestNodeNeedsNoMorePermissionsThanItIsGiven(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newOperatorVersion(t)
		c := v.caller()
		node := v.node("heard")
		node.TimeoutMs = 300 // so that it tells of a slow handler
		_, source := v.inbox(node)
		status := v.statuses(node.Status)

		// A message that was delivered before: its start is recorded.
		m := v.ask(c, node, send("suspicious"))
		v.deliver(source, 2)
		p := l.run(v, node, "untyped").waitReady()
		v.settled(node)
		// One output, several, early ones, one that fails and becomes a dead letter.
		v.ask(c, node, send("one"))
		v.ask(c, node, map[string]any{"send_many": 3})
		early := v.ask(c, node, map[string]any{"early_reply": "early"})
		failing := v.ask(c, node, map[string]any{"final": "no"})
		v.settled(node)
		require.Len(t, c.to(early.RequestID), 1)
		require.EqualValues(t, 1, v.last(node.DeadLetters.Stream))
		v.eventually(func() bool { return len(c.to(failing.RequestID)) == 1 }, "the attempt is told")
		// A failure after a success: what is stored is looked at.
		m.Body = steps(t, map[string]any{"final": "too late"})
		v.store(node, m)
		v.settled(node)
		require.EqualValues(t, 1, v.last(node.DeadLetters.Stream))
		// One whose caller has gone, and one whose caller may not have.
		for _, gone := range []bool{true, false} {
			late := scenario{Input: input{Sender: wire.SenderEntrypoint, Kind: wire.OK, Late: true, Gone: gone, Steps: []any{send(fmt.Sprint("gone: ", gone))}}}
			v.store(node, late.message(t, v, c))
		}
		v.settled(node)
		// A slow one.
		file := filepath.Join(t.TempDir(), "go on")
		v.ask(c, node, waitFor(file), send("slow"))
		require.Len(t, status().Slow, 1)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		v.settled(node)
		require.Equal(t, map[string]int{"suspicious": 1, "one": 1, "0": 1, "1": 1, "2": 1, "slow": 1, "error": 1, "early-reply": 1, "gone: false": 1},
			v.texts(node.Output.Stream))
		require.NotContains(t, strings.ToLower(p.output()), complaint)
	})
}

func TestNodeIsAnsweredUnderTheInboxOfItsConfiguration(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t, narrow)
		node := v.node("first")
		questions := make(chan *nats.Msg, 1000)
		_, err := v.nc.ChanSubscribe("$JS.API.CONSUMER.>", questions)
		require.NoError(t, err)
		require.NoError(t, v.nc.Flush())
		l.run(v, node, "untyped").waitReady()
		// Whether its consumer is there, and for messages.
		for kinds := map[string]bool{}; len(kinds) < 2; {
			question := <-questions
			if strings.HasPrefix(question.Reply, node.Inbox+".") {
				kinds[strings.Join(strings.Split(question.Subject, ".")[:4], ".")] = true
			}
		}
	})
}

func TestNodeWithoutAFittingCredentialsFileSaysSo(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newOperatorVersion(t)
		for want, content := range map[string]string{"cannot read": "", "holds no NATS user JWT": "nothing\n"} {
			t.Run(want, func(t *testing.T) {
				v.t = t
				v.nodeCredentials = filepath.Join(t.TempDir(), "user.creds")
				if content != "" {
					require.NoError(t, os.WriteFile(v.nodeCredentials, []byte(content), 0o600))
				}
				p := l.run(v, v.node("first"), "untyped")
				require.NotZero(t, p.code())
				require.Contains(t, p.output(), "KRE_NATS_CREDS: ")
				require.Contains(t, p.output(), want)
			})
		}
	})
}

func TestCredentialsOfAVersionAreGoodForNothingElse(t *testing.T) {
	v := newOperatorVersion(t)
	complaints := make(chan string, 10)
	conn, err := nats.Connect(v.url(), nats.UserCredentials(v.nodeCredentials), nats.CustomInboxPrefix(v.plan.Entrypoint.Inbox),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { complaints <- err.Error() }))
	require.NoError(t, err)
	defer conn.Close()
	for _, subject := range []string{
		"kre.other-v1.flow.entry", "$JS.API.STREAM.DELETE." + v.plan.Streams[0].Name, "$JS.API.STREAM.LIST",
		"$JS.API.CONSUMER.CREATE." + v.plan.Streams[0].Name + ".x", "$JS.ACK.entry_other-v1_flow.first.1.1.1.1.0", "_INBOX.somebody.x",
	} {
		require.NoError(t, conn.Publish(subject, nil))
		require.Contains(t, <-complaints, subject)
	}
	for _, subject := range []string{">", "_INBOX.>", "kre.>", "kre." + v.plan.Version + ".flow.entry"} {
		_, err := conn.SubscribeSync(subject)
		require.NoError(t, err)
		require.Contains(t, <-complaints, `"`+subject+`"`)
	}
}

func TestEntrypointNeedsNoMorePermissionsThanItIsGiven(t *testing.T) {
	v := newOperatorVersion(t)
	folder := t.TempDir()
	program := filepath.Join(folder, "entrypoint")
	build := exec.Command("go", "build", "-o", program, "./cmd/entrypoint")
	build.Dir = "../entrypoint"
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "public.proto"), []byte(`syntax = "proto3";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
service Conformance { rpc Call(google.protobuf.Struct) returns (google.protobuf.StringValue); }
`), 0o600))
	config := v.plan.Entrypoint
	config.Proto = "public.proto"
	data, err := json.Marshal(config)
	require.NoError(t, err)
	p := startProcess(v, []string{program}, data, folder, "KRE_GRPC_ADDR=127.0.0.1:0", "KRE_HTTP_ADDR=127.0.0.1:0")
	p.waitReady()
	languages()[0].run(v, v.node("first"), "untyped").waitReady()

	answer, err := http.Post(p.httpURL()+"/Conformance/Call", "application/json", strings.NewReader(`{"steps": [{"early_reply": "hello"}]}`))
	require.NoError(t, err)
	var text string
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&text))
	require.NoError(t, answer.Body.Close())
	require.Equal(t, "hello", text)

	var reported struct{ Instance string }
	for _, command := range []string{"report", "move", "close", "open"} {
		answer, err := v.nc.Request(config.Control, []byte(`{"command": "`+command+`"}`), patience)
		require.NoError(t, err)
		require.NotContains(t, string(answer.Data), "error")
		require.NoError(t, json.Unmarshal(answer.Data, &reported))
	}
	header, body := wire.Question(wire.AskEnded, []string{v.requestID()})
	ended, err := v.nc.RequestMsg(&nats.Msg{Subject: config.ReplyTo + "." + reported.Instance, Header: header, Data: body}, patience)
	require.NoError(t, err)
	require.Empty(t, ended.Data)
	require.NotContains(t, strings.ToLower(p.output()), complaint)
}

// httpURL is where an entrypoint says that it listens.
func (p *process) httpURL() string {
	p.t.Helper()
	for line := range strings.Lines(p.output()) {
		var said struct{ Message, HTTP string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Message == "listening" {
			return "http://" + said.HTTP
		}
	}
	require.FailNow(p.t, "it does not say where it listens")
	return ""
}

// newOperatorVersion is a version whose processes have credentials of their own, and may do nothing beyond the list.
func newOperatorVersion(t *testing.T) *version {
	t.Helper()
	v := &version{operated: true}
	v.open(t, narrow)
	return v
}
