package broker

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/konstellation-io/kre/kit/fault"
)

// headerMoved tells, at a dead letter, as which message it was stored in the runtime's account.
const headerMoved = "Kre-Moved-Sequence"

// moveIn brings what a version has in the runtime's account to its own, where everything that it needs is there already: its
// dead letters. Interrupted, it goes on the next time.
func (c *Cells) moveIn(ctx context.Context, version string, to *Broker) error {
	var dead string
	found := false
	err := c.home.owned(ctx, version, func(info *jetstream.StreamInfo) error {
		found = true
		if info.Config.Retention != jetstream.InterestPolicy {
			dead = info.Config.Name
			return nil
		}
		if info.State.Msgs > 0 {
			return fault.New(fault.Precondition, "version %s has %d messages in stream %s of the runtime's account and cannot "+
				"move to its own before they are handled; stop it with discard, or remove it", version, info.State.Msgs, info.Config.Name)
		}
		return nil
	})
	if err != nil || !found {
		return err
	}
	if dead != "" {
		if err := c.moveLetters(ctx, dead, to); err != nil {
			return err
		}
	}
	_, err = c.home.Remove(ctx, version)
	return err
}

// moveLetters copies the messages of a stream in the runtime's account to the one of that name in another.
func (c *Cells) moveLetters(ctx context.Context, stream string, to *Broker) error {
	next, err := to.movedSoFar(ctx, stream)
	if err != nil {
		return err
	}
	for {
		var letter *jetstream.RawStreamMsg
		err := c.home.call(ctx, func(ctx context.Context) error {
			from, err := c.home.js.Stream(ctx, stream)
			if err != nil {
				return err
			}
			letter, err = from.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return c.home.fault(err, "read the dead letters of stream %s", stream)
		}
		copied := &nats.Msg{Subject: letter.Subject, Header: letter.Header, Data: letter.Data}
		if copied.Header == nil {
			copied.Header = make(nats.Header)
		}
		copied.Header[headerMoved] = []string{strconv.FormatUint(letter.Sequence, 10)}
		err = to.call(ctx, func(ctx context.Context) error {
			_, err := to.js.PublishMsg(ctx, copied)
			return err
		})
		if err != nil {
			return to.fault(err, "move a dead letter of stream %s", stream)
		}
		next = letter.Sequence + 1
	}
}

// movedSoFar is the sequence, in the runtime's account, of the first message of a stream that has not been moved yet.
func (b *Broker) movedSoFar(ctx context.Context, stream string) (uint64, error) {
	next := uint64(1)
	err := b.call(ctx, func(ctx context.Context) error {
		info, err := b.streamInfo(ctx, stream)
		if err != nil || info.State.Msgs == 0 {
			return err
		}
		s, err := b.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		last, err := s.GetMsg(ctx, info.State.LastSeq)
		if err != nil {
			return err
		}
		moved, err := strconv.ParseUint(last.Header.Get(headerMoved), 10, 64)
		if err == nil {
			next = moved + 1
		}
		return nil
	})
	return next, b.fault(err, "look at the dead letters of stream %s", stream)
}
