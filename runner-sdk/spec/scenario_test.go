package spec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// scenario is a file of the folder scenarios: one message to a node, and everything that has to come of it.
type scenario struct {
	Rule    string // what the scenario shows
	At      string // which node of manifest.yml; "first" if absent
	Form    string // of the conformance node; "untyped" if absent
	Input   input
	Stored  []output // on the node's stream, in order
	Many    int      // instead of Stored: that many, "0" and so on
	Replies []output // to the caller, in order
	Dead    *output  // the dead letter
}

// input is the message. What is absent is as in a caller's first message.
type input struct {
	Sender     string
	Kind       wire.Kind
	Steps      []any   // the body is a Struct with these steps
	Text       *string // the body is a StringValue
	Bool       *bool   // the body is a BoolValue
	Error      string  // the body is the status of a failure at node etl
	Garbage    string  // the body is this, which is nothing
	Resend     int
	Timing     wire.Timing
	AcceptedAt int64 `yaml:"acceptedAt"` // Unix nanoseconds
	Nobody     bool  // nobody waits for an answer
	Late       bool  // the caller's wait is over
	Gone       bool  // the caller has gone unanswered
}

// output is what is stored, replied or put aside. Only the kind "error" and the like have Error, Attempts, Code and Node.
type output struct {
	Kind     wire.Kind
	Channel  string
	Text     string   // ${request}, ${message} and ${root} stand for what they name
	Error    []string // pieces of the text, all of which have to be there
	Attempts int
	Code     int32  // of the caller's mistake
	Node     string // where it failed; the node itself if absent
}

func scenarios(t *testing.T) map[string][]scenario {
	t.Helper()
	files, err := filepath.Glob("scenarios/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	byProcess := make(map[string][]scenario)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		decoder.KnownFields(true)
		s := scenario{At: "first", Form: "untyped", Input: input{Sender: wire.SenderEntrypoint, Kind: wire.OK}}
		require.NoError(t, decoder.Decode(&s), file)
		require.NotEmpty(t, s.Rule, file)
		for i := range s.Many {
			s.Stored = append(s.Stored, output{Text: strconv.Itoa(i)})
		}
		key := s.Form + " node at " + s.At
		byProcess[key] = append(byProcess[key], s)
	}
	return byProcess
}

func TestScenarios(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		for name, all := range scenarios(t) {
			t.Run(name, func(t *testing.T) {
				v := newVersion(t)
				c := v.caller()
				node := v.node(all[0].At)
				l.run(v, node, all[0].Form).waitReady()
				for _, s := range all {
					t.Run(s.Rule, func(t *testing.T) { s.play(t, v, c, node) })
				}
			})
		}
	})
}

func (s scenario) play(t *testing.T, v *version, c *caller, node plan.Node) {
	in := s.message(t, v, c)
	before := make(map[string]uint64)
	for _, stream := range streamsOf(node) {
		before[stream] = v.last(stream)
	}
	v.store(node, in)
	v.settled(node)
	run := wire.RunID(in.ID, node.Workflow, node.ID, in.Resend)
	places := placeholders(t, in)

	if node.Output != nil {
		outs := v.since(node.Output.Stream, before[node.Output.Stream])
		require.Len(t, outs, len(s.Stored), "stored messages")
		for i, want := range s.Stored {
			checkStored(t, node, in, run, i, len(outs), outs[i])
			require.Equal(t, s.answers(), outs[i].Answered, "it says whether the caller has been answered")
			require.Equal(t, subjectOf(node, want), outs[i].subject)
			want.check(t, node, in, outs[i].Kind, outs[i].Body, places)
		}
	}
	letters := v.since(node.DeadLetters.Stream, before[node.DeadLetters.Stream])
	if s.Dead == nil {
		require.Empty(t, letters, "dead letters")
	} else {
		require.Len(t, letters, 1, "dead letters")
		checkLetter(t, v, node, in, run, letters[0], *s.Dead)
	}
	// Everything was sent before the acknowledgement; notes, unconfirmed, may still be on their way to this process.
	v.eventually(func() bool { return len(c.to(in.RequestID)) >= len(s.Replies) }, "the replies came")
	replies := c.to(in.RequestID)
	require.Len(t, replies, len(s.Replies), "replies")
	for i, want := range s.Replies {
		require.Equal(t, node.Node, replies[i].Sender)
		checkTiming(t, in.Timing, replies[i].Timing, node.Node)
		want.check(t, node, in, replies[i].Kind, replies[i].Body, places)
	}
}

// answers reports whether the caller is answered before what is stored is handled on: not by an error that only follows.
func (s scenario) answers() bool {
	failed := slices.ContainsFunc(s.Replies, func(o output) bool { return o.Kind == wire.AttemptFailed })
	return slices.ContainsFunc(s.Replies, func(o output) bool {
		return o.Kind == "" || o.Kind == wire.EarlyReply || o.Kind == wire.EarlyExit || o.Kind == wire.Error && !failed
	})
}

func streamsOf(node plan.Node) []string {
	streams := []string{node.DeadLetters.Stream}
	if node.Output != nil {
		streams = append(streams, node.Output.Stream)
	}
	return streams
}

func (s scenario) message(t *testing.T, v *version, c *caller) wire.Message {
	t.Helper()
	id := v.requestID()
	m := wire.Message{
		ID: id, RequestID: id, Sender: s.Input.Sender, Kind: s.Input.Kind, ReplyTo: c.subject, Timeout: 30 * time.Second,
		Timing: s.Input.Timing, Label: "my order", Traceparent: "00-0af7-b7ad-01", Tracestate: "a=b",
		Resend: s.Input.Resend, Body: s.Input.body(t, id),
	}
	if m.Sender != wire.SenderEntrypoint {
		m.ID = "from-" + id
	}
	if s.Input.AcceptedAt != 0 {
		m.AcceptedAt = time.Unix(0, s.Input.AcceptedAt)
	}
	if s.Input.Late {
		m.AcceptedAt = time.Now().Add(-time.Hour).Round(0)
	}
	if s.Input.Gone {
		c.leave(id)
	}
	if s.Input.Nobody {
		m.ReplyTo = ""
	}
	return m
}

func placeholders(t *testing.T, in wire.Message) *strings.Replacer {
	t.Helper()
	root, err := filepath.Abs("nodes/python")
	require.NoError(t, err)
	return strings.NewReplacer("${request}", in.RequestID, "${message}", in.ID, "${root}", root)
}

func subjectOf(node plan.Node, o output) string {
	switch o.Kind {
	case wire.Error:
		return node.Output.Error
	case wire.EarlyReply, wire.EarlyExit:
		return node.Output.Early[o.Channel]
	default:
		return node.Output.Channels[o.Channel]
	}
}

// check compares kind and content.
func (o output) check(t *testing.T, node plan.Node, in wire.Message, kind wire.Kind, body []byte, places *strings.Replacer) {
	t.Helper()
	want := o.Kind
	if want == "" {
		want = wire.OK
	}
	require.Equal(t, want, kind)
	switch kind {
	case wire.NothingSent:
		require.Empty(t, body)
	case wire.Error, wire.AttemptFailed:
		at := o.Node
		if at == "" {
			at = node.Node
		}
		checkFailure(t, body, at, in, o)
	default:
		require.Equal(t, places.Replace(o.Text), textOf(t, body))
	}
}

func checkFailure(t *testing.T, body []byte, at string, in wire.Message, want output) {
	t.Helper()
	st, err := wire.ReadStatus(body)
	require.NoError(t, err)
	if want.Code == 0 {
		require.EqualValues(t, 13, st.GetCode())
		require.True(t, strings.HasPrefix(st.GetMessage(), at+": "), "%q begins with the node's name", st.GetMessage())
	} else {
		require.Equal(t, want.Error, []string{st.GetMessage()}, "the caller reads what the handler said, and nothing else")
	}
	f, err := wire.FailureOf(st)
	require.NoError(t, err)
	for _, piece := range want.Error {
		require.Contains(t, f.Text, piece)
	}
	f.Text = ""
	if at == "etl" {
		require.Equal(t, failureAtETL(in.RequestID, ""), f)
		return
	}
	require.Equal(t, wire.Failure{
		Node: at, Workflow: "flow", RequestID: in.RequestID, MessageID: in.ID, Attempts: want.Attempts, Code: want.Code,
	}, f)
}

// checkStored compares what every stored message has to have.
func checkStored(t *testing.T, node plan.Node, in wire.Message, run string, i, of int, out stored) {
	t.Helper()
	id := run // of the only one
	if of > 1 {
		id = wire.OutputID(run, i)
	}
	require.Equal(t, id, out.header.Get("Nats-Msg-Id"))
	checkTiming(t, in.Timing, out.Timing, node.Node)
	require.False(t, out.AcceptedAt.IsZero(), "the time at which the entry message was stored")
	want := in
	want.ID, want.Sender = wire.OutputID(run, i), node.Node
	want.Kind, want.Body, want.Timing, want.Resend, want.Answered = out.Kind, out.Body, out.Timing, 0, out.Answered
	if in.AcceptedAt.IsZero() {
		want.AcceptedAt = out.AcceptedAt
	}
	require.Equal(t, want, out.Message)
}

// checkTiming makes sure that the node has added its own run.
func checkTiming(t *testing.T, before, after wire.Timing, node string) {
	t.Helper()
	old, err := before.Steps()
	require.NoError(t, err)
	steps, err := after.Steps()
	require.NoError(t, err)
	require.Len(t, steps, len(old)+1)
	require.Equal(t, old, append([]wire.Step(nil), steps[:len(old)]...))
	require.Equal(t, node, steps[len(old)].Node)
}

func checkLetter(t *testing.T, v *version, node plan.Node, in wire.Message, run string, letter stored, want output) {
	t.Helper()
	subject, _ := v.inbox(node)
	require.Equal(t, in, letter.Message)
	require.Equal(t, node.DeadLetters.Subject, letter.subject)
	require.Equal(t, run, letter.header.Get("Nats-Msg-Id"))
	require.Equal(t, strconv.Itoa(want.Attempts), letter.header.Get(wire.HeaderAttempts))
	require.Equal(t, subject, letter.header.Get(wire.HeaderInputSubject))
	require.Regexp(t, `^[1-9]\d{18}$`, letter.header.Get(wire.HeaderFailedAt))
	for _, piece := range want.Error {
		require.Contains(t, letter.header.Get(wire.HeaderError), piece)
	}
}
