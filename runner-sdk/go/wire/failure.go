package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// ReasonNodeFailed is the reason in the ErrorInfo of a failed message.
	ReasonNodeFailed = "NODE_FAILED"
	// ErrorDomain is the domain of every ErrorInfo of the data plane.
	ErrorDomain = "kre"

	codeInternal = 13 // google.rpc.Code

	// MaxErrorText is how much of an error's text travels, in bytes: in bodies and in the header of a dead letter.
	MaxErrorText = 4096
)

// Failure says which message failed, where and why. It is the content of an error body.
type Failure struct {
	Node      string // as written
	Workflow  string // mapped name
	RequestID string
	MessageID string
	Attempts  int
	Code      int32  // of google.rpc.Code, where the mistake is the caller's; 0 is INTERNAL
	Text      string // the error's own text, without the node's name
}

// Body returns f as the body of a message or a reply of kind Error or AttemptFailed: a serialized google.protobuf.Any of
// google.rpc.Status with an ErrorInfo. Text past MaxErrorText is cut.
func (f Failure) Body() ([]byte, error) {
	info, err := anypb.New(&errdetails.ErrorInfo{
		Reason: ReasonNodeFailed,
		Domain: ErrorDomain,
		Metadata: map[string]string{
			"node":       valid(f.Node),
			"workflow":   valid(f.Workflow),
			"request_id": valid(f.RequestID),
			"message_id": valid(f.MessageID),
			"attempts":   strconv.Itoa(f.Attempts),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("packing the error info: %w", err)
	}
	st := &status.Status{Code: codeInternal, Message: cut(valid(f.Text), MaxErrorText), Details: []*anypb.Any{info}}
	if f.Code != 0 {
		st.Code = f.Code // the text is for the caller, to whom nodes are nothing
	} else {
		st.Message = valid(f.Node) + ": " + st.Message
	}
	body, err := anypb.New(st)
	if err != nil {
		return nil, fmt.Errorf("packing the error: %w", err)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("serializing the error: %w", err)
	}
	return data, nil
}

// ReadStatus returns the status that the body of an error holds.
func ReadStatus(body []byte) (*status.Status, error) {
	var wrapped anypb.Any
	if err := proto.Unmarshal(body, &wrapped); err != nil {
		return nil, fmt.Errorf("reading the body of an error: %w", err)
	}
	var st status.Status
	if err := wrapped.UnmarshalTo(&st); err != nil {
		return nil, fmt.Errorf("reading the body of an error: %w", err)
	}
	return &st, nil
}

// FailureOf returns what st, the content of an error body, says of the message that failed. It returns an error when st
// does not come from a node.
func FailureOf(st *status.Status) (Failure, error) {
	for _, detail := range st.GetDetails() {
		var info errdetails.ErrorInfo
		if !detail.MessageIs(&info) {
			continue
		}
		if err := detail.UnmarshalTo(&info); err != nil {
			return Failure{}, fmt.Errorf("reading the error info: %w", err)
		}
		if info.GetReason() != ReasonNodeFailed || info.GetDomain() != ErrorDomain {
			continue
		}
		metadata := info.GetMetadata()
		attempts, ok := decimal(metadata["attempts"])
		if !ok {
			return Failure{}, fmt.Errorf("reading the error info: attempts %q is not a number", metadata["attempts"])
		}
		code := st.GetCode()
		if code == codeInternal {
			code = 0
		}
		return Failure{
			Code:      code,
			Node:      metadata["node"],
			Workflow:  metadata["workflow"],
			RequestID: metadata["request_id"],
			MessageID: metadata["message_id"],
			Attempts:  int(attempts),
			Text:      strings.TrimPrefix(st.GetMessage(), metadata["node"]+": "),
		}, nil
	}
	return Failure{}, errors.New("the status holds no error info of a node")
}

// oneLine returns text as a header can carry it: valid UTF-8, one line, at most MaxErrorText bytes.
func oneLine(text string) string {
	flat := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, valid(text))
	return strings.TrimSpace(cut(flat, MaxErrorText))
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// cut shortens s to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
