package wire

import (
	"fmt"
	"time"
)

// Reply is what a node tells the entrypoint instance that waits for a request: an answer (OK, EarlyReply, EarlyExit,
// Error), or a note (AttemptFailed, NothingSent), which answers nobody and is not confirmed.
type Reply struct {
	RequestID string
	Sender    string // name of the replying node as written
	Kind      Kind
	Timing    Timing    // the runs up to and including the one that replies
	SentAt    time.Time // by the sender's clock
	Body      []byte    // a serialized google.protobuf.Any; empty for NothingSent
}

// IsNote reports whether r only tells of a run's course and answers nobody.
func (r Reply) IsNote() bool { return r.Kind == AttemptFailed || r.Kind == NothingSent }

// ParseReply reads a reply as it came from the broker, as strictly as Parse reads a message. Data is not copied.
func ParseReply(header map[string][]string, data []byte) (Reply, error) {
	f := fields{header: header}
	r := Reply{
		RequestID: f.requestID(),
		Sender:    f.required(HeaderSender),
		Kind:      Kind(f.text(HeaderKind)),
		Timing:    f.timing(),
		SentAt:    f.instant(HeaderSentAt),
		Body:      data,
	}
	switch r.Kind {
	case "":
		r.Kind = OK
	case OK, Error, EarlyReply, EarlyExit, AttemptFailed, NothingSent:
	default:
		f.fail(HeaderKind, "unknown kind %q", r.Kind)
	}
	if f.err != nil {
		return Reply{}, fmt.Errorf("not a reply of KRE: %w", f.err)
	}
	return r, nil
}

// Header returns the headers of r, as ParseReply reads them.
func (r Reply) Header() map[string][]string {
	var h headers
	kind := r.Kind
	if kind == "" {
		kind = OK
	}
	h.set(HeaderRequestID, r.RequestID)
	h.set(HeaderSender, r.Sender)
	h.set(HeaderKind, string(kind))
	h.set(HeaderTiming, string(r.Timing))
	h.setTime(HeaderSentAt, r.SentAt)
	return h.made()
}
