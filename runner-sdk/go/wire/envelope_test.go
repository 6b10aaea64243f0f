package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const requestID = "01JD7QZ8X5N3V9T4B6K2M0P1RS"

func whole() wire.Message {
	return wire.Message{
		ID:          "a4be4b81b91f6747ef95624377a2129c",
		RequestID:   requestID,
		Sender:      "etl",
		Kind:        wire.EarlyReply,
		ReplyTo:     "kre.prices-v1._reply.7",
		AcceptedAt:  time.Unix(0, 1763696746000000001),
		Timeout:     30 * time.Second,
		Timing:      "etl=412,model=1870",
		Label:       "order 66",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Tracestate:  "a=b",
		Resend:      2,
		Answered:    true,
		Body:        []byte("body"),
	}
}

func TestMessageIsReadAsItWasWritten(t *testing.T) {
	entry := wire.Message{ID: requestID, RequestID: requestID, Sender: wire.SenderEntrypoint, Kind: wire.OK}
	for name, m := range map[string]wire.Message{"every field": whole(), "an entry message": entry} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Parse(m.Header(), m.Body)
			require.NoError(t, err)
			require.Equal(t, m, got)
		})
	}
}

func TestMessageOfNoKindIsOK(t *testing.T) {
	m := whole()
	m.Kind = ""
	require.NotContains(t, m.Header(), wire.HeaderKind)
	got, err := wire.Parse(m.Header(), nil)
	require.NoError(t, err)
	require.Equal(t, wire.OK, got.Kind)
}

func TestParseRefusesWhatNobodySends(t *testing.T) {
	tests := []struct {
		name, header string
		values       []string
		want         string
	}{
		{"no message id", wire.HeaderMessageID, nil, "header Kre-Message-Id: missing"},
		{"a message id with a blank", wire.HeaderMessageID, []string{"a b"}, `header Kre-Message-Id: "a b" holds a blank`},
		{"no request id", wire.HeaderRequestID, nil, "header Kre-Request-Id: missing"},
		{"a short request id", wire.HeaderRequestID, []string{"01JD"}, `header Kre-Request-Id: "01JD" is not a ULID of 26 characters`},
		{"no sender", wire.HeaderSender, []string{""}, "header Kre-Sender: missing"},
		{"a header twice", wire.HeaderSender, []string{"etl", "model"}, "header Kre-Sender: given 2 times, want once"},
		{"a control character", wire.HeaderLabel, []string{"a\tb"}, "header Kre-Label: holds the control character 0x9"},
		{"an endless label", wire.HeaderLabel, []string{strings.Repeat("x", 4097)}, "header Kre-Label: 4097 bytes, want at most 4096"},
		{"an unknown kind", wire.HeaderKind, []string{"fine"}, `header Kre-Kind: unknown kind "fine"`},
		{"a kind of replies", wire.HeaderKind, []string{"nothing-sent"}, `header Kre-Kind: "nothing-sent" is for replies only`},
		{"a wildcard to reply to", wire.HeaderReplyTo, []string{"a.>"}, `header Kre-Reply-To: "a.>" is not a subject that can be published to`},
		{"an empty token to reply to", wire.HeaderReplyTo, []string{"a..b"}, `header Kre-Reply-To: "a..b" is not a subject that can be published to`},
		{"a timeout with a unit", wire.HeaderTimeout, []string{"30s"}, `header Kre-Timeout: "30s" is not a decimal number`},
		{"a negative timeout", wire.HeaderTimeout, []string{"-1"}, `header Kre-Timeout: "-1" is not a decimal number`},
		{"a timeout of ages", wire.HeaderTimeout, []string{"9223372036854775807"}, "header Kre-Timeout: 9223372036854775807 is more than 9223372036854"},
		{"a timing without number", wire.HeaderTiming, []string{"etl=1,model"}, `header Kre-Timing: "model" is not <node>=<microseconds>`},
		{"a resend with leading zero", wire.HeaderResend, []string{"01"}, `header Kre-Resend: "01" is not a decimal number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := whole().Header()
			header[test.header] = test.values
			_, err := wire.Parse(header, nil)
			require.EqualError(t, err, "not a message of KRE: "+test.want)
		})
	}
}

func TestReplyIsReadAsItWasWritten(t *testing.T) {
	r := wire.Reply{
		RequestID: requestID, Sender: "model", Kind: wire.OK, Timing: "etl=1,model=2",
		SentAt: time.Unix(0, 1763696746000000001), Body: []byte("body"),
	}
	for _, kind := range []wire.Kind{wire.OK, wire.Error, wire.EarlyReply, wire.EarlyExit, wire.AttemptFailed, wire.NothingSent} {
		r.Kind = kind
		got, err := wire.ParseReply(r.Header(), r.Body)
		require.NoError(t, err)
		require.Equal(t, r, got)
		require.Equal(t, kind == wire.AttemptFailed || kind == wire.NothingSent, got.IsNote())
	}
	header := r.Header()
	header[wire.HeaderKind] = []string{"fine"}
	_, err := wire.ParseReply(header, nil)
	require.EqualError(t, err, `not a reply of KRE: header Kre-Kind: unknown kind "fine"`)
}

func TestTimingGrowsByOneRun(t *testing.T) {
	timing := wire.Timing("").Append("etl", 412*time.Microsecond).Append("a=b,c", 1870*time.Microsecond+999)
	require.Equal(t, wire.Timing("etl=412,a_b_c=1870"), timing)
	steps, err := timing.Steps()
	require.NoError(t, err)
	require.Equal(t, []wire.Step{
		{Node: "etl", Spent: 412 * time.Microsecond}, {Node: "a_b_c", Spent: 1870 * time.Microsecond},
	}, steps)
}

func TestFailureIsReadAsItWasWritten(t *testing.T) {
	f := wire.Failure{
		Node: "model", Workflow: "estimate", RequestID: requestID, MessageID: "5f0c", Attempts: 5, Text: "no price for \xff",
	}
	body, err := f.Body()
	require.NoError(t, err)
	st, err := wire.ReadStatus(body)
	require.NoError(t, err)
	require.EqualValues(t, 13, st.GetCode())
	require.Equal(t, "model: no price for \uFFFD", st.GetMessage())
	got, err := wire.FailureOf(st)
	require.NoError(t, err)
	f.Text = "no price for \uFFFD"
	require.Equal(t, f, got)
}

func TestFailureTextIsCutBetweenCharacters(t *testing.T) {
	body, err := wire.Failure{Node: "n", Text: strings.Repeat("é", wire.MaxErrorText)}.Body()
	require.NoError(t, err)
	st, err := wire.ReadStatus(body)
	require.NoError(t, err)
	text := strings.TrimPrefix(st.GetMessage(), "n: ")
	require.LessOrEqual(t, len(text), wire.MaxErrorText)
	require.True(t, strings.HasSuffix(text, "é…"), "%q", text[len(text)-8:])
}

func TestStatusOfSomebodyElseIsNoFailure(t *testing.T) {
	_, err := wire.FailureOf(nil)
	require.EqualError(t, err, "the status holds no error info of a node")
	_, err = wire.ReadStatus([]byte("nonsense"))
	require.ErrorContains(t, err, "reading the body of an error")
}

func TestDeadLetterKeepsTheHeadersOfItsMessage(t *testing.T) {
	input := whole().Header()
	input["Nats-Msg-Id"] = []string{"old"}
	header := wire.DeadLetter{
		Error: "first line\nsecond line\n", Attempts: 5, FailedAt: time.Unix(0, 42), InputSubject: "kre.v.w.entry",
	}.Header(input)
	require.NotContains(t, header, "Nats-Msg-Id")
	require.Equal(t, []string{"first line second line"}, header[wire.HeaderError])
	require.Equal(t, []string{"5"}, header[wire.HeaderAttempts])
	require.Equal(t, []string{"42"}, header[wire.HeaderFailedAt])
	require.Equal(t, []string{"kre.v.w.entry"}, header[wire.HeaderInputSubject])
	m, err := wire.Parse(header, []byte("body"))
	require.NoError(t, err)
	require.Equal(t, whole(), m)
}
