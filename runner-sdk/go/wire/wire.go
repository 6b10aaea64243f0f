// Package wire holds what travels between the entrypoint and the nodes of a version: the names of headers, the kinds
// of message and the derivation of ids. It is the Go side of runner-sdk/spec/protocol.md and talks to no broker.
package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Headers of messages and replies. Their meaning is told in runner-sdk/spec/protocol.md.
const (
	HeaderMessageID    = "Kre-Message-Id"
	HeaderRequestID    = "Kre-Request-Id"
	HeaderSender       = "Kre-Sender"
	HeaderKind         = "Kre-Kind"
	HeaderReplyTo      = "Kre-Reply-To"
	HeaderAcceptedAt   = "Kre-Accepted-At"
	HeaderTimeout      = "Kre-Timeout"
	HeaderTiming       = "Kre-Timing"
	HeaderLabel        = "Kre-Label"
	HeaderResend       = "Kre-Resend"
	HeaderAnswered     = "Kre-Answered"
	HeaderSentAt       = "Kre-Sent-At"
	HeaderError        = "Kre-Error"
	HeaderAttempts     = "Kre-Attempts"
	HeaderFailedAt     = "Kre-Failed-At"
	HeaderInputSubject = "Kre-Input-Subject"
	HeaderTraceparent  = "traceparent"
	HeaderTracestate   = "tracestate"
)

// SenderEntrypoint is the sender of entry messages.
const SenderEntrypoint = "entrypoint"

// Kind tells what a message or a reply is.
type Kind string

// Kinds of messages and, from AttemptFailed on, of notes that only an entrypoint receives. An absent kind header means OK.
const (
	OK            Kind = "ok"
	Error         Kind = "error"
	EarlyReply    Kind = "early-reply"
	EarlyExit     Kind = "early-exit"
	AttemptFailed Kind = "attempt-failed"
	NothingSent   Kind = "nothing-sent"
)

// RunID returns the id of the run of the message messageID at a node. Workflow and node are the mapped names; resend
// counts how often a person has sent the message again.
func RunID(messageID, workflow, node string, resend int) string {
	return hash("run", messageID, workflow, node, strconv.Itoa(resend))
}

// OutputID returns the message id of the index-th (from 0) output that a run stores.
func OutputID(runID string, index int) string {
	return hash("output", runID, strconv.Itoa(index))
}

func hash(parts ...string) string {
	h := sha256.New()
	for i, part := range parts {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
