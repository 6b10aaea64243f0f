package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// refusedTooLarge is the broker's code for a message that its stream does not take; any other refusal is a passing state.
const refusedTooLarge = 10054

// Refusal is an error that the broker answered.
type Refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the broker refuses: %s (%d)", r.Description, r.Code)
}

func isRefusal(err error, code int) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return ok && refusal.Code == code
}

func read(msg *nats.Msg) (Outcome, error) {
	// Nearly every answer is this one, and taking it apart would cost a twentieth of a node's time.
	if bytes.HasPrefix(msg.Data, []byte(`{"stream":`)) && !bytes.Contains(msg.Data, []byte(`"duplicate":`)) &&
		!bytes.Contains(msg.Data, []byte(`"error":`)) {
		return Outcome{Sequence: sequence(msg.Data)}, nil
	}
	var answer struct {
		Sequence  uint64   `json:"seq"`
		Duplicate bool     `json:"duplicate"`
		Error     *Refusal `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Outcome{}, fmt.Errorf("reading the broker's answer: %w", err)
	}
	if answer.Error != nil {
		return Outcome{}, answer.Error
	}
	return Outcome{Duplicate: answer.Duplicate, Sequence: answer.Sequence}, nil
}

// sequence is the number behind "seq" in the broker's answer.
func sequence(answer []byte) uint64 {
	_, rest, _ := bytes.Cut(answer, []byte(`"seq":`))
	var n uint64
	for _, c := range bytes.TrimLeft(rest, " ") {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}
