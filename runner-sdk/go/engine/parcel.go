package engine

import (
	"context"

	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// storing begins to store what a run sends, all or none under the run's id, and returns what waits until that is confirmed: a
// message as it is, several as one parcel. What the broker does not take in one message are several parcels, of which the
// last one counts.
func (e *engine) storing(run *run, items []wire.Item) (wait func(context.Context) error) {
	if len(items) == 0 {
		return func(context.Context) error { return nil }
	}
	if len(items) == 1 {
		return finishing(e.store.Begin(e.only(run, items[0])))
	}
	parcels := e.parcels(run, items)
	if len(parcels) == 1 {
		return finishing(e.store.Begin(e.sealed(parcels[0], run.id, e.node.Parcels.Subject)))
	}
	return func(ctx context.Context) error { return e.storeSeveral(ctx, run, parcels) }
}

func finishing(saving *store.Saving) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := saving.Finish(ctx)
		return err
	}
}

// parcels packs what a run sends into as few parcels as the broker takes.
func (e *engine) parcels(run *run, items []wire.Item) []*wire.Parcel {
	var parcels []*wire.Parcel
	start, size := 0, 0
	seal := func(end int) {
		parcels = append(parcels, &wire.Parcel{Message: e.common(run), RunID: run.id, First: start, Items: items[start:end]})
		start, size = end, 0
	}
	for i, item := range items {
		if i > start && size+item.Size() > e.maxBody {
			seal(i)
		}
		size += item.Size()
	}
	seal(len(items))
	return parcels
}

func (e *engine) sealed(p *wire.Parcel, id, subject string) store.Record {
	header, body := p.Encode()
	return store.Record{Stream: e.node.Parcels.Stream, ID: id, Subject: subject, Header: header, Body: body}
}

// storeSeveral stores several parcels of one run: first the parts, each under an id of its own, then the last one under the
// run's, which names them. Nothing of them is taken out before it is there, and nothing ever if another run was first.
func (e *engine) storeSeveral(ctx context.Context, run *run, parcels []*wire.Parcel) error {
	token, last := nuid.Next(), len(parcels)-1
	parts := make([]store.Record, 0, last)
	for _, p := range parcels[:last] {
		p.Token = token
		p.Input = wire.Position{Stream: run.delivery.Stream, Sequence: run.delivery.Sequence}
		parts = append(parts, e.sealed(p, nuid.Next(), e.node.Parcels.Part))
	}
	outcomes, err := e.store.Begin(parts...).Finish(ctx)
	if err != nil {
		return err
	}
	parcels[last].Token = token
	for _, outcome := range outcomes {
		parcels[last].Parts = append(parcels[last].Parts, outcome.Sequence)
	}
	return finishing(e.store.Begin(e.sealed(parcels[last], run.id, e.node.Parcels.Last)))(ctx)
}
