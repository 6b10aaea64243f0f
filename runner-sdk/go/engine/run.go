package engine

import (
	"strings"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/pull"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/store"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// run is a message at this node: all attempts of this process at it, and what follows them.
type run struct {
	delivery *pull.Delivery
	input    wire.Message
	id       string
	accepted time.Time     // when the request was, by this process's clock
	began    time.Time     // of the last attempt's handler
	spent    time.Duration // in the handler, in the last attempt
	early    []*early      // early messages on their way to the caller
	suspect  bool          // it is handled alone
	answered bool          // the caller has been, by an attempt or before
}

func (e *engine) open(d *pull.Delivery) (*run, error) {
	input, err := wire.Parse(d.Header, d.Body)
	if err != nil {
		return nil, err // it says already what is wrong
	}
	if input.AcceptedAt.IsZero() {
		input.AcceptedAt = d.Stored // an entry message
	}
	if input.Timeout == 0 {
		input.Timeout = e.node.Timeout()
	}
	return &run{
		delivery: d, input: input, id: input.RunID(e.node.Workflow, e.node.ID),
		answered: input.Answered || d.Answered, accepted: e.clock.own(input.AcceptedAt),
	}, nil
}

// deadline is when the caller's wait is over, by this process's clock.
func (r *run) deadline() time.Time { return r.accepted.Add(r.input.Timeout) }

// common returns what all messages have in common that run sends.
func (e *engine) common(run *run) wire.Message {
	m := run.input
	m.Sender = e.node.Name
	m.Timing = run.input.Timing.Append(e.node.Name, run.spent)
	m.Resend = 0
	m.Answered = run.answered && m.ReplyTo != ""
	m.ID, m.Kind, m.Body = "", wire.OK, nil
	return m
}

// items returns what run stores of outputs: less what nobody listens to.
func (e *engine) items(outputs []exchange.Output) []wire.Item {
	var items []wire.Item
	for _, o := range outputs {
		subject := e.subject(o)
		if subject == "" {
			if o.Kind == wire.OK {
				e.warnUnheard(o.Channel)
			}
			continue
		}
		items = append(items, wire.Item{Subject: subject, Kind: o.Kind, Body: o.Body})
	}
	return items
}

// only is the record of a run's only output.
func (e *engine) only(run *run, item wire.Item) store.Record {
	m := e.common(run)
	m.ID, m.Kind = wire.OutputID(run.id, 0), item.Kind
	return store.Record{Stream: e.node.Output.Stream, ID: run.id, Subject: item.Subject, Header: m.Header(), Body: item.Body}
}

// subject returns where o is stored, or nothing when nobody listens there.
func (e *engine) subject(o exchange.Output) string {
	switch {
	case e.node.Output == nil:
		return ""
	case o.Kind == wire.Error:
		return e.node.Output.Error
	case o.Kind != wire.OK:
		return e.node.Output.Early[o.Channel]
	default:
		return e.node.Output.Channels[o.Channel]
	}
}

// warnUnheard tells, once for each channel, that what is sent there is dropped.
func (e *engine) warnUnheard(channel string) {
	if _, told := e.unheard.LoadOrStore(channel, true); told || (channel == "" && e.node.Exitpoint) {
		return
	}
	name := "its default channel"
	if channel != "" {
		name = "its channel " + channel
	}
	e.log.Printf(logline.Warn, "node %s sends to %s, to which nobody listens: that is dropped", e.node.Name, name)
}

// logRun writes a line that belongs to a run.
func (e *engine) logRun(level logline.Level, run *run, message string, err error) {
	record := e.record(run, level, message)
	if err != nil {
		record.Err = strings.TrimSpace(err.Error())
		record.Stack = stackOf(err)
	}
	e.log.Write(record)
}

// record returns a line of the log that belongs to a run.
func (e *engine) record(run *run, level logline.Level, message string) logline.Record {
	return logline.Record{
		Level: level, Message: message, RequestID: run.input.RequestID, MessageID: run.input.ID, Attempt: run.delivery.Attempts,
	}
}
