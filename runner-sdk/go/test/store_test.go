package test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// openStore returns a store of its own connection, and three records of a run.
func (b *bed) openStore() (s *store.Store, run string, records func() []store.Record) {
	b.t.Helper()
	log := logline.New(io.Discard, logline.Options{})
	conn, err := broker.Open(b.t.Context(), broker.Options{URL: b.url(), Log: log})
	require.NoError(b.t, err)
	b.t.Cleanup(conn.Close)
	in := b.request(wrapperspb.String(""))
	run = wire.RunID(in.ID, "flow", "n-1", 0)
	return store.New(conn, log), run, func() []store.Record {
		var all []store.Record
		for i, text := range []string{"one", "two", "three"} {
			m := in
			m.ID, m.Body = wire.OutputID(run, i), pack(b.t, wrapperspb.String(text))
			all = append(all, store.Record{Subject: outSubject, Header: m.Header(), Body: m.Body})
		}
		return all
	}
}

func TestTornBatchIsCompleted(t *testing.T) {
	b := newBed(t)
	s, run, records := b.openStore()
	// What a broker that was restarted in the middle of the batch has left of it.
	_, err := s.Save(t.Context(), run, records()[0])
	require.NoError(t, err)
	for range 2 { // the second time, nothing is missing any more
		require.NoError(t, s.Complete(t.Context(), run, records()))
	}
	var texts []string
	for _, out := range b.outputs(3) {
		texts = append(texts, out.text(t))
	}
	require.Equal(t, []string{"one", "two", "three"}, texts)
	require.EqualValues(t, 3, b.state(outStream).LastSeq)
}

func TestWholeBatchNeedsNoCompletion(t *testing.T) {
	b := newBed(t)
	s, run, records := b.openStore()
	outcome, err := s.Save(t.Context(), run, records()...)
	require.NoError(t, err)
	require.False(t, outcome.Duplicate)
	require.NoError(t, s.Complete(t.Context(), run, records()))
	require.EqualValues(t, 3, b.state(outStream).LastSeq)
	outcome, err = s.Save(t.Context(), run, records()...)
	require.NoError(t, err)
	require.True(t, outcome.Duplicate)
}
