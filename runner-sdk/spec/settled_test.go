package spec_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// What two engines once did differently.

func TestMessageThatCannotBeReadBecomesADeadLetter(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		c := v.caller()
		node := v.node("first")
		l.run(v, node, "untyped").waitReady()
		subject, _ := v.inbox(node)
		for want, change := range map[string]func(nats.Header){
			"Kre-Message-Id: missing":                   func(h nats.Header) { h.Del(wire.HeaderMessageID) },
			"Kre-Request-Id: \"x\" is not a ULID":       func(h nats.Header) { h.Set(wire.HeaderRequestID, "x") },
			"Kre-Sender: given 2 times":                 func(h nats.Header) { h.Add(wire.HeaderSender, "etl") },
			"Kre-Timeout: \"soon\" is not a decimal":    func(h nats.Header) { h.Set(wire.HeaderTimeout, "soon") },
			"Kre-Kind: unknown kind \"odd\"":            func(h nats.Header) { h.Set(wire.HeaderKind, "odd") },
			"Kre-Reply-To: \"a.*\" is not a subject":    func(h nats.Header) { h.Set(wire.HeaderReplyTo, "a.*") },
			"Kre-Kind: \"nothing-sent\" is for replies": func(h nats.Header) { h.Set(wire.HeaderKind, "nothing-sent") },
		} {
			before := v.last(node.DeadLetters.Stream)
			m := scenario{Input: input{Sender: wire.SenderEntrypoint, Kind: wire.OK, Steps: []any{send("no")}}}.message(t, v, c)
			header := nats.Header(m.Header())
			change(header)
			_, err := v.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: m.Body})
			require.NoError(t, err)
			v.eventually(func() bool { return v.last(node.DeadLetters.Stream) == before+1 }, "it is a dead letter: "+want)
			stream, err := v.js.Stream(t.Context(), node.DeadLetters.Stream)
			require.NoError(t, err)
			letter, err := stream.GetLastMsgForSubject(t.Context(), node.DeadLetters.Subject)
			require.NoError(t, err)
			require.Contains(t, letter.Header.Get(wire.HeaderError), want)
			require.Equal(t, m.Body, letter.Data)
		}
		v.ask(c, node, send("yes"))
		v.settled(node)
		require.Equal(t, map[string]int{"yes": 1}, v.texts(node.Output.Stream))
	})
}

func TestRecordsBelowTheLevelAreNotWritten(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		for level, want := range map[string][]string{
			"": {"info", "warn", "error"}, "debug": {"debug", "info", "warn", "error"}, "error": {"error"},
		} {
			t.Run("level "+level, func(t *testing.T) {
				v := newVersion(t)
				v.env = []string{"KRE_LOG_LEVEL=" + level}
				node := v.node("first")
				p := l.run(v, node, "untyped").waitReady()
				m := v.ask(v.caller(), node, map[string]any{"log": "hello"}, send("done"))
				v.settled(node)
				v.eventually(func() bool { return strings.Contains(p.output(), "hello") }, "it is written")
				var got []string
				for line := range strings.Lines(p.output()) {
					var record struct {
						Level, Message string
						RequestID      string `json:"request_id"`
					}
					if json.Unmarshal([]byte(line), &record) == nil && record.Message == "hello" {
						require.Equal(t, m.RequestID, record.RequestID)
						got = append(got, record.Level)
					}
				}
				require.Equal(t, want, got)
			})
		}
	})
}

func TestWrongSettingsEndTheNodeWithTheirNames(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		for _, setting := range []string{"KRE_LOG_LEVEL=loud", "KRE_LOG_FORMAT=xml", "KRE_CONFIG=/no/such/file", "KRE_NATS_URL="} {
			t.Run(setting, func(t *testing.T) {
				v.t = t
				v.env = []string{setting}
				p := l.run(v, v.node("first"), "untyped")
				require.NotZero(t, p.code())
				name, value, _ := strings.Cut(setting, "=")
				require.True(t, strings.Contains(p.output(), name) || value != "" && strings.Contains(p.output(), value), p.output())
			})
		}
	})
}

func TestInitIsNotRunBeforeTheConsumersAreThere(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		v := newVersion(t)
		file := filepath.Join(t.TempDir(), "init")
		v.env = []string{"CONFORMANCE_INIT=" + file}
		node := v.node("first")
		missing := node.Sources[0]
		consumer := v.known(missing).Config
		require.NoError(t, v.js.DeleteConsumer(t.Context(), missing.Stream, missing.Consumer))
		require.NotZero(t, l.run(v, node, "untyped").code())
		require.NoFileExists(t, file)
		_, err := v.js.CreateConsumer(t.Context(), missing.Stream, consumer)
		require.NoError(t, err)
		l.run(v, node, "untyped").waitReady()
		_, err = os.Stat(file)
		require.NoError(t, err)
	})
}
