package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestAQuestionIsReadAsItWasAsked(t *testing.T) {
	for _, ids := range [][]string{nil, {"01JD7QZ8X5N3V9T4B6K2M0P1RS"}, {"01JD7QZ8X5N3V9T4B6K2M0P1RS", "01JD7QZ8X5N3V9T4B6K2M0P1RT"}} {
		header, body := wire.Question(wire.AskEnded, ids)
		read, is, err := wire.ParseQuestion(wire.AskEnded, header, body)
		require.NoError(t, err)
		require.True(t, is)
		require.Equal(t, ids, read)
	}
}

func TestWhatIsNoQuestionIsNotTakenForOne(t *testing.T) {
	id := "01JD7QZ8X5N3V9T4B6K2M0P1RS"
	_, is, err := wire.ParseQuestion(wire.AskEnded, wire.Reply{RequestID: id, Sender: "model"}.Header(), []byte("x"))
	require.NoError(t, err)
	require.False(t, is)
	ask := map[string][]string{wire.HeaderAsk: {wire.AskEnded}}
	for name, c := range map[string]struct {
		header map[string][]string
		body   string
		want   string
	}{
		"another question": {map[string][]string{wire.HeaderAsk: {"time"}}, "", `unknown question "time"`},
		"two questions":    {map[string][]string{wire.HeaderAsk: {wire.AskEnded, wire.AskEnded}}, "", "given 2 times"},
		"no ids":           {ask, "hello", `"hello" is not a ULID`},
		"an empty line":    {ask, id + "\n", "is not a ULID"},
		"too many":         {ask, strings.TrimSuffix(strings.Repeat(id+"\n", wire.MaxAsked+1), "\n"), "want at most 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, is, err := wire.ParseQuestion(wire.AskEnded, c.header, []byte(c.body))
			require.True(t, is)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err = wire.ReadIDs([]byte(strings.TrimSuffix(strings.Repeat(id+"\n", wire.MaxAsked), "\n")))
	require.NoError(t, err)
}
