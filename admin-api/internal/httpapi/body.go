package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/nesting"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	// maxBody bounds a body that is JSON: room for some configuration files of 1 MiB each, as base64. A package has no bound
	// here.
	maxBody = 12 << 20
	// bodyPatience is how long a body that is JSON may take to arrive.
	bodyPatience = time.Minute
	// smallBody is how much of a body is not counted.
	smallBody = 4 << 10
)

// What parts of a body become in memory, about: a message, and the copy of it that the call gets.
const (
	bytesCost     = 2 // of each byte: a text
	valueCost     = 200
	containerCost = 320
)

// kept is a body that has arrived.
type kept struct {
	*bytes.Reader
	whole []byte
}

// Close does nothing.
func (kept) Close() error { return nil }

// keepBody takes the body in, so that who reads it cannot fail, and who explains an error can look at it again. What it and
// its message take is taken of the share.
func keepBody(w http.ResponseWriter, r *http.Request, share *budget.Share) error {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience)); err != nil {
		return err
	}
	whole, err := readBody(w, r, share)
	if err != nil {
		return err
	}
	depth, cost := weigh(whole)
	if depth > nesting.Limit {
		return fault.New(fault.Invalid, "the body is nested %d deep; at most %d", depth, nesting.Limit).
			For(adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST.String())
	}
	if cost > smallBody {
		if err := share.Grow(r.Context(), int64(len(whole))+cost); err != nil {
			return err
		}
	}
	r.Body = kept{Reader: bytes.NewReader(whole), whole: whole}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, share *budget.Share) ([]byte, error) {
	source := http.MaxBytesReader(w, r.Body, maxBody)
	var whole bytes.Buffer
	// As much as it says it has, or as much again as has come.
	expected := max(r.ContentLength, smallBody)
	for {
		if expected = min(expected, maxBody); expected > smallBody {
			// What it becomes is taken with it where it is a text, so that it need not be waited for.
			if err := share.Grow(r.Context(), (1+bytesCost)*expected); err != nil {
				return nil, err
			}
		}
		whole.Grow(int(expected) - whole.Len() + 1)
		_, err := io.CopyN(&whole, source, expected-int64(whole.Len())+1)
		var tooLarge *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return whole.Bytes(), nil
		case errors.As(err, &tooLarge):
			return nil, fault.Wrap(fault.Exhausted, err, "the body is too large: at most %d bytes", maxBody).
				For(adminv1.ErrorReason_ERROR_REASON_TOO_LARGE.String(), "limit_bytes", fmt.Sprint(maxBody))
		case err != nil:
			return nil, fault.Wrap(fault.Invalid, err, "the body did not arrive whole").
				For(adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST.String())
		}
		expected = 2 * int64(whole.Len())
	}
}

// weigh tells how deep JSON is nested and about how much memory its message takes, without reading it. What is no JSON has any
// depth and cost.
func weigh(body []byte) (depth int, cost int64) {
	at := 0
	cost = bytesCost * int64(len(body))
	for c := range nesting.Unquoted(body) {
		switch c {
		case '{', '[':
			at++
			depth = max(depth, at)
			cost += containerCost
		case '}', ']':
			at--
		case ',', ':':
			cost += valueCost
		}
	}
	return depth, cost
}
