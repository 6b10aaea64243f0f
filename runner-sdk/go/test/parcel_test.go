package test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// parcelOf is a parcel of a run of the message, as a process stores it.
func (b *bed) parcelOf(in wire.Message, texts ...string) *wire.Parcel {
	b.t.Helper()
	p := &wire.Parcel{Message: in, RunID: wire.RunID(in.ID, "flow", "n-1", 0)}
	p.Sender = "N_1"
	for _, text := range texts {
		p.Items = append(p.Items, wire.Item{Subject: outSubject, Kind: wire.OK, Body: pack(b.t, wrapperspb.String(text))})
	}
	return p
}

// ship stores a parcel and returns its sequence.
func (b *bed) ship(subject, id string, p *wire.Parcel) uint64 {
	b.t.Helper()
	header, body := p.Encode()
	header[nats.MsgIdHdr] = []string{id}
	ack, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: body})
	require.NoError(b.t, err)
	return ack.Sequence
}

func twice(ctx *kre.HandlerContext, body *anypb.Any) error {
	return errors.Join(ctx.SendAny(body), ctx.SendAny(body, "side"))
}

func TestAParcelThatIsUnpackedASecondTimeAddsNothing(t *testing.T) {
	b := newBed(t)
	in := b.request(wrapperspb.String(""))
	// What a process left that died when half of it was stored.
	p := b.parcelOf(in, "one", "two")
	b.store(outSubject, wire.OutputID(p.RunID, 0), p.Output(0))
	b.ship(parcelSubject, p.RunID, p)
	b.run(b.node(), twice)
	outs := b.outputs(2)
	require.Equal(t, "one", outs[0].text(t))
	require.Equal(t, "two", outs[1].text(t))
	b.empty()
	require.EqualValues(t, 3, b.state(outStream).LastSeq)
}

func TestPartsOfARunThatStoredNoLastParcelAreDropped(t *testing.T) {
	b := newBed(t)
	in := b.ask("go")
	for i := range 3 {
		p := b.parcelOf(in, fmt.Sprint("torn ", i))
		p.Token, p.First = "died", i
		p.Input = wire.Position{Stream: entryStream, Sequence: 1}
		b.ship(parcelSubject+".part", fmt.Sprint("part-", i), p)
	}
	b.run(b.node(), twice)
	for _, out := range b.outputs(2) {
		require.Equal(t, "go", out.text(t))
	}
	b.settled()
	b.empty()
}

func TestSeveralParcelsOfTwoRunsOfOneMessageNeverMix(t *testing.T) {
	b := newBed(t)
	in := b.ask("go")
	run := wire.RunID(in.ID, "flow", "n-1", 0)
	var parts []uint64
	ship := func(token, id string, i int) {
		p := b.parcelOf(in, fmt.Sprint(token, " ", i))
		p.Token, p.First, p.Input = token, i, wire.Position{Stream: entryStream, Sequence: 1}
		parts = append(parts, b.ship(parcelSubject+".part", id, p))
	}
	ship("lost", "l0", 0)
	ship("won", "w0", 0)
	ship("lost", "l1", 1)
	ship("won", "w1", 1)
	last := b.parcelOf(in, "won 2")
	last.Token, last.First, last.Parts = "won", 2, []uint64{parts[1], parts[3]}
	b.ship(parcelSubject+".last", run, last)

	b.run(b.node(), twice) // its run is the third one, and adds nothing
	for i, out := range b.outputs(3) {
		require.Equal(t, fmt.Sprint("won ", i), out.text(t))
		require.Equal(t, wire.OutputID(run, i), out.ID)
	}
	b.settled()
	b.empty()
}

func TestParcelsAreUnpackedWhileNoHandlerEnds(t *testing.T) {
	b := newBed(t)
	hold := make(chan struct{})
	p := b.run(b.node(), func(ctx *kre.HandlerContext, body *anypb.Any) error {
		if textOf(body) == "slow" {
			<-hold
		}
		return twice(ctx, body)
	})
	b.ask("slow")
	b.eventually(func() bool { return b.ackPending() == 1 }, "the handler runs")
	other := b.request(wrapperspb.String(""))
	b.ship(parcelSubject, "of another process", b.parcelOf(other, "one", "two"))
	require.Equal(t, "one", b.outputs(2)[0].text(t))
	ended := make(chan struct{})
	go func() {
		p.end()
		close(ended)
	}()
	b.ship(parcelSubject, "of a third process", b.parcelOf(b.request(wrapperspb.String("")), "three", "four"))
	require.Equal(t, "three", b.outputs(2)[0].text(t), "while it ends, too")
	close(hold)
	<-ended
	require.NoError(t, p.err)
	b.run(b.node(), twice) // what its predecessor had no time for
	require.Len(t, b.outputs(2), 2)
	b.empty()
}

func TestSomethingElseAmongParcelsIsADeadLetter(t *testing.T) {
	b := newBed(t)
	b.run(b.node(), twice)
	_, err := b.js.Publish(t.Context(), parcelSubject, []byte(strings.Repeat("?", 10)))
	require.NoError(t, err)
	b.eventually(func() bool { return b.state(deadStream).Msgs == 1 }, "it is put aside")
	b.empty()
	b.ask("go")
	require.Len(t, b.outputs(2), 2)
}
