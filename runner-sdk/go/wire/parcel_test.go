package wire_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func parcel() *wire.Parcel {
	return &wire.Parcel{
		Message: wire.Message{
			RequestID: "01JD7QZ8X5N3V9T4B6K2M00001", Sender: "etl", Kind: wire.OK, ReplyTo: "kre.v1._reply.one",
			AcceptedAt: time.Unix(0, 1_700_000_000_000_000_000), Timeout: 30 * time.Second, Timing: "etl=12", Label: "my order",
		},
		RunID: "5f0c", Items: []wire.Item{
			{Subject: "kre.v1.flow.from.etl.out", Kind: wire.OK, Body: []byte("one")},
			{Subject: "kre.v1.flow.from.etl.early", Kind: wire.EarlyReply, Body: []byte{}},
			{Subject: "kre.v1.flow.from.etl.ch.side", Kind: wire.OK, Body: []byte("three")},
		},
	}
}

func TestAParcelIsReadAsItWasWritten(t *testing.T) {
	for name, change := range map[string]func(*wire.Parcel){
		"the only one": func(*wire.Parcel) {},
		"a part": func(p *wire.Parcel) {
			p.Token, p.First, p.Input = "t", 7, wire.Position{Stream: "entry_v1_flow", Sequence: 42}
		},
		"the last of several": func(p *wire.Parcel) { p.Token, p.First, p.Parts = "t", 7, []uint64{3, 9, 10} },
	} {
		t.Run(name, func(t *testing.T) {
			want := parcel()
			change(want)
			header, body := want.Encode()
			got, err := wire.ParseParcel(header, body)
			require.NoError(t, err)
			want.ID = want.RunID
			require.Equal(t, want, got)
			size := 0
			for _, item := range want.Items {
				size += item.Size()
			}
			require.LessOrEqual(t, len(body), size)
		})
	}
}

func TestAnOutputOfAParcelIsTheMessageThatItWouldHaveBeenAlone(t *testing.T) {
	p := parcel()
	p.First = 5
	m := p.Output(1)
	require.Equal(t, wire.OutputID("5f0c", 6), m.ID)
	require.Equal(t, wire.EarlyReply, m.Kind)
	require.Empty(t, m.Body)
	require.Equal(t, p.RequestID, m.RequestID)
	require.Equal(t, p.Timing, m.Timing)
}

func TestWhatIsNoParcelIsRefused(t *testing.T) {
	header, body := parcel().Encode()
	without := parcel()
	without.Items[0].Subject = ""
	_, subjectless := without.Encode()
	note := parcel()
	note.Items[0].Kind = wire.NothingSent
	_, noted := note.Encode()
	for _, data := range [][]byte{body[:len(body)-1], subjectless, noted, []byte("no protobuf at all")} {
		_, err := wire.ParseParcel(header, data)
		require.ErrorContains(t, err, "not a parcel of KRE: ", "%q", data)
	}
	for name, value := range map[string]string{
		wire.HeaderParcelFirst: "-1", wire.HeaderParcelParts: "1 two", wire.HeaderParcelInput: "entry", wire.HeaderRequestID: "x",
	} {
		header, body := parcel().Encode()
		header[name] = []string{value}
		_, err := wire.ParseParcel(header, body)
		require.ErrorContains(t, err, name)
	}
}
