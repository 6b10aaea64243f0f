package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// FuzzEnvelope feeds headers, one `Name: value` a line, and a body to both parsers: whatever they accept must come out
// the same when it is written and read again.
func FuzzEnvelope(f *testing.F) {
	for _, m := range []wire.Message{whole(), {ID: requestID, RequestID: requestID, Sender: wire.SenderEntrypoint}} {
		f.Add(lines(m.Header()), m.Body)
	}
	f.Add(lines(wire.Reply{RequestID: requestID, Sender: "model", Kind: wire.NothingSent}.Header()), []byte(nil))
	header, body := parcel().Encode()
	f.Add(lines(header), body)
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		header := make(map[string][]string)
		for line := range strings.SplitSeq(text, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			header[name] = append(header[name], value)
		}
		if m, err := wire.Parse(header, body); err == nil {
			again, err := wire.Parse(m.Header(), m.Body)
			require.NoError(t, err)
			require.Equal(t, m, again)
			require.Len(t, m.RunID("w", "n"), 32)
		}
		if r, err := wire.ParseReply(header, body); err == nil {
			again, err := wire.ParseReply(r.Header(), r.Body)
			require.NoError(t, err)
			require.Equal(t, r, again)
		}
		if p, err := wire.ParseParcel(header, body); err == nil {
			again, err := wire.ParseParcel(p.Encode())
			require.NoError(t, err)
			p.Kind, p.RunID = wire.OK, p.ID
			require.Equal(t, p, again)
		}
		if st, err := wire.ReadStatus(body); err == nil {
			if failure, err := wire.FailureOf(st); err == nil {
				_, err = failure.Body()
				require.NoError(t, err)
			}
		}
	})
}

func lines(header map[string][]string) string {
	var b strings.Builder
	for name, values := range header {
		b.WriteString(name + ": " + values[0] + "\n")
	}
	return b.String()
}
