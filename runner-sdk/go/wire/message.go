package wire

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Message is a message of the data plane: what the entrypoint stores for the first nodes and what nodes store for each
// other.
type Message struct {
	ID          string        // see RunID and OutputID; an entry message's is its request id
	RequestID   string        // a ULID
	Sender      string        // name of the sending node as written, or SenderEntrypoint
	Kind        Kind          // OK, Error, EarlyReply or EarlyExit; empty counts as OK
	ReplyTo     string        // core subject of the entrypoint instance that waits; empty when nobody does
	AcceptedAt  time.Time     // zero in an entry message: the time it was stored at is meant
	Timeout     time.Duration // how long the caller waits from then on, in whole milliseconds
	Timing      Timing
	Label       string // the caller's own request id
	Traceparent string
	Tracestate  string
	Resend      int    // how often a person has sent this message again
	Answered    bool   // what came before it has answered the caller
	Body        []byte // a serialized google.protobuf.Any
}

// Parse reads a message as it came from the broker. It refuses what no entrypoint and no node sends: a missing id,
// request id or sender, a header given twice, a number, a kind or a subject that is none. It does not look into the
// body, and passes over headers it does not know. Data is not copied.
func Parse(header map[string][]string, data []byte) (Message, error) {
	f := fields{header: header}
	m := Message{
		ID:          f.token(HeaderMessageID),
		RequestID:   f.requestID(),
		Sender:      f.required(HeaderSender),
		Kind:        Kind(f.text(HeaderKind)),
		ReplyTo:     f.subject(HeaderReplyTo),
		AcceptedAt:  f.instant(HeaderAcceptedAt),
		Timeout:     time.Duration(f.number(HeaderTimeout, maxMilliseconds)) * time.Millisecond,
		Timing:      f.timing(),
		Label:       f.text(HeaderLabel),
		Traceparent: f.text(HeaderTraceparent),
		Tracestate:  f.text(HeaderTracestate),
		Resend:      int(f.number(HeaderResend, math.MaxInt32)),
		Answered:    f.number(HeaderAnswered, 1) == 1,
		Body:        data,
	}
	switch m.Kind {
	case "":
		m.Kind = OK
	case OK, Error, EarlyReply, EarlyExit:
	case AttemptFailed, NothingSent:
		f.fail(HeaderKind, "%q is for replies only", m.Kind)
	default:
		f.fail(HeaderKind, "unknown kind %q", m.Kind)
	}
	if f.err != nil {
		return Message{}, fmt.Errorf("not a message of KRE: %w", f.err)
	}
	return m, nil
}

const maxMilliseconds = math.MaxInt64 / int64(time.Millisecond)

// Header returns the headers of m, as Parse reads them. The map belongs to the caller and has room for the broker's own.
func (m Message) Header() map[string][]string {
	var h headers
	h.set(HeaderMessageID, m.ID)
	h.set(HeaderRequestID, m.RequestID)
	h.set(HeaderSender, m.Sender)
	if m.Kind != OK {
		h.set(HeaderKind, string(m.Kind))
	}
	h.set(HeaderReplyTo, m.ReplyTo)
	h.setTime(HeaderAcceptedAt, m.AcceptedAt)
	if m.Timeout > 0 {
		h.set(HeaderTimeout, strconv.FormatInt(m.Timeout.Milliseconds(), 10))
	}
	h.set(HeaderTiming, string(m.Timing))
	h.set(HeaderLabel, m.Label)
	h.set(HeaderTraceparent, m.Traceparent)
	h.set(HeaderTracestate, m.Tracestate)
	if m.Resend > 0 {
		h.set(HeaderResend, strconv.Itoa(m.Resend))
	}
	if m.Answered {
		h.set(HeaderAnswered, "1")
	}
	return h.made()
}

// RunID returns the id of the run of m at the node of that mapped name in the workflow of that mapped name.
func (m Message) RunID(workflow, node string) string {
	return RunID(m.ID, workflow, node, m.Resend)
}
