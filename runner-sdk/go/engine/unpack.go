package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	maxUnpacking   = 256      // parcels whose outputs are on their way
	unpackingBytes = 64 << 20 // of those; one may always be
	unpackTime     = time.Microsecond
	firstLook      = 5 * time.Millisecond // after a part whose time has not come
)

// unpacker takes the outputs out of the node's parcels and stores them one by one. It works while handlers do, and while
// there is nobody to run them.
type unpacker struct {
	e      *engine
	pull   *pull.Puller
	room   *room
	under  sync.WaitGroup
	begins context.Context // ends when nothing is to be begun any more
	stop   context.CancelFunc

	mu    sync.Mutex
	count int // parcels whose outputs are on their way
	bytes int // of them
	freed chan struct{}
}

func newUnpacker(e *engine) *unpacker {
	p := e.node.Parcels
	u := &unpacker{
		e: e, pull: pull.New(e.conn, e.log, []pull.Consumer{{Stream: p.Stream, Name: p.Consumer}}),
		room: newRoom(e.store, e.log, p.Stream), freed: make(chan struct{}, 1),
	}
	u.begins, u.stop = context.WithCancel(context.Background())
	return u
}

// start begins to unpack. Hard ends when the process can no longer wait.
func (u *unpacker) start(hard context.Context, helpers *sync.WaitGroup) error {
	if err := u.pull.Start(); err != nil {
		return fmt.Errorf("asking for parcels: %w", err)
	}
	helpers.Go(func() { u.pull.Keep(hard) })
	u.under.Go(func() { u.work(hard) })
	return nil
}

// work unpacks one parcel after the other until drain is called.
func (u *unpacker) work(hard context.Context) {
	for {
		if !u.free() {
			return
		}
		d := u.pull.Next(u.begins)
		if d == nil {
			return
		}
		u.pull.Returned(d, unpackTime)
		u.take(hard, d)
	}
}

// free waits until another parcel may be begun.
func (u *unpacker) free() bool {
	for {
		u.mu.Lock()
		room := u.count < maxUnpacking && u.bytes < unpackingBytes
		u.mu.Unlock()
		if room {
			return true
		}
		select {
		case <-u.freed:
		case <-u.begins.Done():
			return false
		}
	}
}

// take begins d, and lets go of it when it is done.
func (u *unpacker) take(hard context.Context, d *pull.Delivery) {
	p, err := wire.ParseParcel(d.Header, d.Body)
	if err != nil {
		u.behind(d, func() error { return u.e.putAsideUnread(hard, d, err) })
		return
	}
	if d.Subject == u.e.node.Parcels.Subject {
		unpacked := u.begin(p)
		u.behind(d, func() error { return unpacked(hard) })
		return
	}
	// Of several parcels: these are rare.
	u.behind(d, func() error {
		wanted, err := u.turn(hard, d, p)
		if err != nil || !wanted {
			return err
		}
		return u.begin(p)(hard)
	})
}

// begin begins to store what is in a parcel, as soon as there is room, and returns what waits until that is confirmed.
func (u *unpacker) begin(p *wire.Parcel) func(context.Context) error {
	if len(p.Items) == 0 {
		return func(context.Context) error { return nil }
	}
	if err := u.room.wait(u.begins, p.Items); err != nil {
		return func(context.Context) error { return err }
	}
	records := make([]store.Record, 0, len(p.Items))
	for i, item := range p.Items {
		m := p.Output(i)
		records = append(records, store.Record{
			Stream: u.e.node.Parcels.Stream, ID: m.ID, Subject: item.Subject, Header: m.Header(), Body: item.Body,
		})
	}
	return finishing(u.e.store.Begin(records...))
}

// errLater says that the time of a part has not come.
var errLater = errors.New("its time has not come")

// behind runs finish while other parcels are unpacked, and then lets go of d.
func (u *unpacker) behind(d *pull.Delivery, finish func() error) {
	u.add(1, len(d.Body))
	u.under.Go(func() {
		defer u.add(-1, -len(d.Body))
		err := finish()
		tooLarge, isTooLarge := errors.AsType[*store.TooLargeError](err)
		switch {
		case err == nil:
			u.pull.Acknowledge(d)
		case errors.Is(err, errLater):
			d.Attempts++
			u.pull.Postpone(d, min(firstLook<<min(d.Attempts, 10), time.Second))
		case isTooLarge: // it was not when it was packed: the stream's limit must have been lowered
			u.e.log.Write(logline.Record{Level: logline.Error, Message: "outputs of a run are lost: the stream does not take them", Err: tooLarge.Error()})
			u.pull.Acknowledge(d)
		default:
			u.pull.GiveBack(d) // the process ends
		}
	})
}

func (u *unpacker) add(count, bytes int) {
	u.mu.Lock()
	u.count, u.bytes = u.count+count, u.bytes+bytes
	u.mu.Unlock()
	select {
	case u.freed <- struct{}{}:
	default: // whoever waits will look anyway
	}
}

// turn waits for nothing: it says errLater until one of a run's several parcels may be unpacked, which is when the last one is
// stored and those before it have been unpacked, so that they are gone. A part whose run stored no last one is not wanted once
// the run's input is gone: then the run has come to its end in another way.
func (u *unpacker) turn(ctx context.Context, d *pull.Delivery, p *wire.Parcel) (wanted bool, err error) {
	if d.Subject == u.e.node.Parcels.Last {
		return true, u.after(ctx, p.Parts)
	}
	inputGone, err := u.gone(ctx, p.Input.Stream, p.Input.Sequence) // before the last parcel is looked for, which is stored before it
	if err != nil {
		return false, err
	}
	last, err := u.last(ctx, d, p.Token)
	switch {
	case err != nil:
		return false, err
	case last != nil:
		i := slices.Index(last.Parts, d.Sequence)
		return true, u.after(ctx, last.Parts[:max(i, 0)])
	case inputGone:
		return false, nil
	}
	return false, errLater
}

// after says errLater until the last of these parts is gone: it goes after the others.
func (u *unpacker) after(ctx context.Context, parts []uint64) error {
	if len(parts) == 0 {
		return nil
	}
	gone, err := u.gone(ctx, u.e.node.Parcels.Stream, parts[len(parts)-1])
	if err == nil && !gone {
		return errLater
	}
	return err
}

func (u *unpacker) gone(ctx context.Context, stream string, sequence uint64) (bool, error) {
	_, err := u.e.store.Read(ctx, stream, sequence)
	if errors.Is(err, store.ErrGone) {
		return true, nil
	}
	return false, err
}

// last returns the last parcel of those that d is a part of, or nil.
func (u *unpacker) last(ctx context.Context, d *pull.Delivery, token string) (*wire.Parcel, error) {
	for from := d.Sequence + 1; ; {
		record, err := u.e.store.Next(ctx, u.e.node.Parcels.Stream, u.e.node.Parcels.Last, from)
		if errors.Is(err, store.ErrGone) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		p, err := wire.ParseParcel(record.Header, record.Body)
		if err == nil && p.Token == token {
			return p, nil
		}
		from = record.Sequence + 1
	}
}

// drain finishes what was begun, and takes nothing any more.
func (u *unpacker) drain() {
	u.pull.Stop()
	u.stop()
	u.under.Wait()
}
