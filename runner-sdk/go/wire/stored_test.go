package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestAnAnswerThatSaysOnlyThatAMessageIsStoredIsReadAtAGlance(t *testing.T) {
	for answer, sequence := range map[string]uint64{
		`{"stream":"out", "seq":17}`:                17,
		`{"stream":"out","seq":1}`:                  1,
		`{"stream":"out", "domain":"d", "seq":203}`: 203,
	} {
		got, is := wire.Stored([]byte(answer))
		require.True(t, is, answer)
		require.Equal(t, sequence, got, answer)
	}
	for _, answer := range []string{
		``, `+OK`, `{"error":{"code":503},"stream":"out","seq":0}`, `{"stream":"out","seq":0,"error":{"code":503}}`,
		`{"stream":"out", "seq":17, "duplicate":true}`,
	} {
		_, is := wire.Stored([]byte(answer))
		require.False(t, is, answer)
	}
}
