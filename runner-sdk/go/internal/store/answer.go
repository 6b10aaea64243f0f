package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
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
	if sequence, is := wire.Stored(msg.Data); is {
		return Outcome{Sequence: sequence}, nil
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
